/*
 * filler.h
 *		Find the holes of the log, fill them, and say who is to wake us.
 */
#ifndef SE_FILLER_H
#define SE_FILLER_H

#include "frontier.h"
#include "registry.h"
#include "store.h"

/* A view of the log in which holes can be told. */
typedef struct SeSurvey
{
	SeShared   *shared;			/* NULL if nobody has written since the start */
	SeFrontier	found;			/* as of the survey's snapshot */
	int64		highest;		/* a visible number, if above the frontier */
	int64		holder;			/* lowest number in flight, 0 if there is none */
	int64		decided;		/* every number below is decided */
	int64	   *holes;			/* some of those that can be filled */
	int			nholes;
} SeSurvey;

extern void se_filler_survey(const SeStore *store, SeSurvey *survey);
extern void se_filler_fill(const SeStore *store, const SeSurvey *survey);
extern void se_filler_leave_anchor(const SeStore *store, int64 frontier);
extern bool se_filler_arm(const SeStore *store, const SeSurvey *survey, uint64 wanted);

#endif							/* SE_FILLER_H */
