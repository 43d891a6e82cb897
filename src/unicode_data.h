/*
 * unicode_data.h
 *		Unicode 16: categories, properties, case.
 */
#ifndef SE_UNICODE_DATA_H
#define SE_UNICODE_DATA_H

/* Code points, both ends included. */
typedef struct SeCharRange
{
	uint32_t	first;
	uint32_t	last;
} SeCharRange;

/* General categories. */
typedef enum SeCategory
{
	GC_LU, GC_LL, GC_LT, GC_LM, GC_LO,
	GC_MN, GC_MC, GC_ME,
	GC_ND, GC_NL, GC_NO,
	GC_PC, GC_PD, GC_PS, GC_PE, GC_PI, GC_PF, GC_PO,
	GC_SM, GC_SC, GC_SK, GC_SO,
	GC_ZS, GC_ZL, GC_ZP,
	GC_CC, GC_CF, GC_CO, GC_CN
} SeCategory;

typedef struct SeCategoryRun
{
	uint32_t	first;			/* it ends where the next one starts */
	uint8_t		category;		/* a SeCategory */
} SeCategoryRun;

/* Every step-th code point is this far from the next one in its ring. */
typedef struct SeFoldRun
{
	uint32_t	first;
	uint32_t	last;
	uint8_t		step;
	int32_t		distance;
} SeFoldRun;

extern const SeCategoryRun se_category_runs[];
extern const int se_category_run_count;
extern const SeCharRange se_other_alphabetic[];
extern const int se_other_alphabetic_count;
extern const SeCharRange se_other_lowercase[];
extern const int se_other_lowercase_count;
extern const SeCharRange se_other_uppercase[];
extern const int se_other_uppercase_count;
extern const SeCharRange se_white_space[];
extern const int se_white_space_count;
extern const SeFoldRun se_fold_runs[];
extern const int se_fold_run_count;

#endif							/* SE_UNICODE_DATA_H */
