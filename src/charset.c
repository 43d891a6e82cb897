/*
 * charset.c
 *		Sets of characters, or of bytes: what a character class stands for.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "charset.h"

#define CATEGORY_BIT(category) (UINT32_C(1) << (category))
#define LETTERS \
	(CATEGORY_BIT(GC_LU) | CATEGORY_BIT(GC_LL) | CATEGORY_BIT(GC_LT) | \
	 CATEGORY_BIT(GC_LM) | CATEGORY_BIT(GC_LO))
#define MARKS \
	(CATEGORY_BIT(GC_MN) | CATEGORY_BIT(GC_MC) | CATEGORY_BIT(GC_ME))
#define NUMBERS \
	(CATEGORY_BIT(GC_ND) | CATEGORY_BIT(GC_NL) | CATEGORY_BIT(GC_NO))
#define PUNCTUATION \
	(CATEGORY_BIT(GC_PC) | CATEGORY_BIT(GC_PD) | CATEGORY_BIT(GC_PS) | \
	 CATEGORY_BIT(GC_PE) | CATEGORY_BIT(GC_PI) | CATEGORY_BIT(GC_PF) | \
	 CATEGORY_BIT(GC_PO))
#define SYMBOLS \
	(CATEGORY_BIT(GC_SM) | CATEGORY_BIT(GC_SC) | CATEGORY_BIT(GC_SK) | \
	 CATEGORY_BIT(GC_SO))
#define SEPARATORS \
	(CATEGORY_BIT(GC_ZS) | CATEGORY_BIT(GC_ZL) | CATEGORY_BIT(GC_ZP))
#define OTHERS \
	(CATEGORY_BIT(GC_CC) | CATEGORY_BIT(GC_CF) | CATEGORY_BIT(GC_CO) | \
	 CATEGORY_BIT(GC_CN))

/* General categories by their names, without case, blanks, '_' and '-'. */
static const struct
{
	const char *short_name;
	const char *long_name;
	const char *other_name;
	uint32_t	categories;
}			category_names[] =

{
	{"l", "letter", NULL, LETTERS},
	{"lc", "casedletter", NULL, CATEGORY_BIT(GC_LU) | CATEGORY_BIT(GC_LL) | CATEGORY_BIT(GC_LT)},
	{"lu", "uppercaseletter", NULL, CATEGORY_BIT(GC_LU)},
	{"ll", "lowercaseletter", NULL, CATEGORY_BIT(GC_LL)},
	{"lt", "titlecaseletter", NULL, CATEGORY_BIT(GC_LT)},
	{"lm", "modifierletter", NULL, CATEGORY_BIT(GC_LM)},
	{"lo", "otherletter", NULL, CATEGORY_BIT(GC_LO)},
	{"m", "mark", "combiningmark", MARKS},
	{"mn", "nonspacingmark", NULL, CATEGORY_BIT(GC_MN)},
	{"mc", "spacingmark", NULL, CATEGORY_BIT(GC_MC)},
	{"me", "enclosingmark", NULL, CATEGORY_BIT(GC_ME)},
	{"n", "number", NULL, NUMBERS},
	{"nd", "decimalnumber", "digit", CATEGORY_BIT(GC_ND)},
	{"nl", "letternumber", NULL, CATEGORY_BIT(GC_NL)},
	{"no", "othernumber", NULL, CATEGORY_BIT(GC_NO)},
	{"p", "punctuation", "punct", PUNCTUATION},
	{"pc", "connectorpunctuation", NULL, CATEGORY_BIT(GC_PC)},
	{"pd", "dashpunctuation", NULL, CATEGORY_BIT(GC_PD)},
	{"ps", "openpunctuation", NULL, CATEGORY_BIT(GC_PS)},
	{"pe", "closepunctuation", NULL, CATEGORY_BIT(GC_PE)},
	{"pi", "initialpunctuation", NULL, CATEGORY_BIT(GC_PI)},
	{"pf", "finalpunctuation", NULL, CATEGORY_BIT(GC_PF)},
	{"po", "otherpunctuation", NULL, CATEGORY_BIT(GC_PO)},
	{"s", "symbol", NULL, SYMBOLS},
	{"sm", "mathsymbol", NULL, CATEGORY_BIT(GC_SM)},
	{"sc", "currencysymbol", NULL, CATEGORY_BIT(GC_SC)},
	{"sk", "modifiersymbol", NULL, CATEGORY_BIT(GC_SK)},
	{"so", "othersymbol", NULL, CATEGORY_BIT(GC_SO)},
	{"z", "separator", NULL, SEPARATORS},
	{"zs", "spaceseparator", NULL, CATEGORY_BIT(GC_ZS)},
	{"zl", "lineseparator", NULL, CATEGORY_BIT(GC_ZL)},
	{"zp", "paragraphseparator", NULL, CATEGORY_BIT(GC_ZP)},
	{"c", "other", NULL, OTHERS},
	{"cc", "control", "cntrl", CATEGORY_BIT(GC_CC)},
	{"cf", "format", NULL, CATEGORY_BIT(GC_CF)},
	{"co", "privateuse", NULL, CATEGORY_BIT(GC_CO)},
	{"cn", "unassigned", NULL, CATEGORY_BIT(GC_CN)},
	{"assigned", NULL, NULL, ~CATEGORY_BIT(GC_CN)},
	{"any", NULL, NULL, ~UINT32_C(0)},
};

/* The classes that are written [:name:], as pairs of first and last bytes. */
static const struct
{
	const char *name;
	const char *ranges;
}			ascii_classes[] =

{
	{"alnum", "09AZaz"},
	{"alpha", "AZaz"},
	{"ascii", "\001\177"},		/* and the zero byte */
	{"blank", "\t\t  "},
	{"cntrl", "\001\037\177\177"},	/* and the zero byte */
	{"digit", "09"},
	{"graph", "!~"},
	{"lower", "az"},
	{"print", " ~"},
	{"punct", "!/:@[`{~"},
	{"space", "\t\r  "},
	{"upper", "AZ"},
	{"word", "09AZ__az"},
	{"xdigit", "09AFaf"},
};

/* Make an empty set. */
SeCharSet *
se_charset_create(void)
{
	return palloc0(sizeof(SeCharSet));
}

/* Make a set of one range. */
SeCharSet *
se_charset_of_range(uint32_t first, uint32_t last)
{
	SeCharSet  *set = se_charset_create();

	se_charset_add(set, first, last);
	return set;
}

/* Add a range; the caller tidies up when all are added. */
void
se_charset_add(SeCharSet *set, uint32_t first, uint32_t last)
{
	if (set->count == set->room)
	{
		set->room = Max(2 * set->room, 4);
		set->ranges = set->ranges == NULL
			? palloc(set->room * sizeof(SeCharRange))
			: repalloc(set->ranges, set->room * sizeof(SeCharRange));
	}
	set->ranges[set->count].first = first;
	set->ranges[set->count++].last = last;
}

/* Add the ranges of another set, and tidy up. */
void
se_charset_add_set(SeCharSet *set, const SeCharSet *other)
{
	for (int i = 0; i < other->count; i++)
		se_charset_add(set, other->ranges[i].first, other->ranges[i].last);
	se_charset_tidy(set);
}

/* Order ranges by where they start. */
static int
compare_ranges(const void *a, const void *b)
{
	uint32_t	left = ((const SeCharRange *) a)->first;
	uint32_t	right = ((const SeCharRange *) b)->first;

	return (left > right) - (left < right);
}

/* Sort the ranges, and join those that overlap or touch. */
void
se_charset_tidy(SeCharSet *set)
{
	int			kept = 0;

	if (set->count == 0)
		return;
	qsort(set->ranges, set->count, sizeof(SeCharRange), compare_ranges);
	for (int i = 1; i < set->count; i++)
	{
		SeCharRange range = set->ranges[i];

		if (range.first <= set->ranges[kept].last + 1)
			set->ranges[kept].last = Max(set->ranges[kept].last, range.last);
		else
			set->ranges[++kept] = range;
	}
	set->count = kept + 1;
}

/* Turn a set into all others up to the last there is. */
void
se_charset_negate(SeCharSet *set, uint32_t last)
{
	SeCharSet	others = {0};
	uint32_t	next = 0;

	for (int i = 0; i < set->count; i++)
	{
		if (set->ranges[i].first > next)
			se_charset_add(&others, next, set->ranges[i].first - 1);
		next = set->ranges[i].last + 1;
	}
	if (next <= last)
		se_charset_add(&others, next, last);
	*set = others;
}

/* Add those that come next in their rings to a range's characters. */
static void
add_next_in_rings(SeCharSet *set, SeCharRange range)
{
	for (int i = 0; i < se_fold_run_count; i++)
	{
		const SeFoldRun *run = &se_fold_runs[i];
		uint32_t	first = Max(range.first, run->first);
		uint32_t	last = Min(range.last, run->last);

		if (first > last)
			continue;
		if (run->step == 1)
			se_charset_add(set, first + run->distance, last + run->distance);
		else
		{
			for (uint32_t c = first + (first - run->first) % 2; c <= last; c += 2)
				se_charset_add(set, c + run->distance, c + run->distance);
		}
	}
}

/* Add all characters that differ from members by nothing but their case. */
void
se_charset_fold(SeCharSet *set)
{
	bool		grown = true;

	while (grown)
	{
		SeCharSet	before = {0};

		se_charset_add_set(&before, set);
		for (int i = 0; i < before.count; i++)
		{
			se_check_for_interrupts();
			add_next_in_rings(set, before.ranges[i]);
		}
		se_charset_tidy(set);
		grown = !se_charset_equal(&before, set);
	}
}

/* Do so for the letters A to Z alone. */
void
se_charset_fold_ascii(SeCharSet *set)
{
	int			count = set->count;

	for (int i = 0; i < count; i++)
	{
		SeCharRange range = set->ranges[i];

		if (range.first <= 'Z' && range.last >= 'A')
			se_charset_add(set, Max(range.first, 'A') + 0x20, Min(range.last, 'Z') + 0x20);
		if (range.first <= 'z' && range.last >= 'a')
			se_charset_add(set, Max(range.first, 'a') - 0x20, Min(range.last, 'z') - 0x20);
	}
	se_charset_tidy(set);
}

/* Make the set of what two sets have in common. */
static SeCharSet *
intersect(const SeCharSet *left, const SeCharSet *right)
{
	SeCharSet  *both = se_charset_create();
	int			i = 0;
	int			j = 0;

	while (i < left->count && j < right->count)
	{
		uint32_t	first = Max(left->ranges[i].first, right->ranges[j].first);
		uint32_t	last = Min(left->ranges[i].last, right->ranges[j].last);

		if (first <= last)
			se_charset_add(both, first, last);
		if (left->ranges[i].last < right->ranges[j].last)
			i++;
		else
			j++;
	}
	return both;
}

/* Make the set of what is in one set but not in another. */
static SeCharSet *
subtract(const SeCharSet *left, const SeCharSet *right, uint32_t last)
{
	SeCharSet	others = {0};

	se_charset_add_set(&others, right);
	se_charset_negate(&others, last);
	return intersect(left, &others);
}

/* Combine two sets. */
SeCharSet *
se_charset_combine(SeSetOperator operator, const SeCharSet *left,
				   const SeCharSet *right, uint32_t last)
{
	SeCharSet  *result;

	if (operator == SE_INTERSECTION)
		return intersect(left, right);
	result = subtract(left, right, last);
	if (operator == SE_SYMMETRIC_DIFFERENCE)
		se_charset_add_set(result, subtract(right, left, last));
	return result;
}

/* Tell whether two sets have the same members. */
bool
se_charset_equal(const SeCharSet *left, const SeCharSet *right)
{
	return left->count == right->count &&
		(left->count == 0 ||
		 memcmp(left->ranges, right->ranges, left->count * sizeof(SeCharRange)) == 0);
}

/* Find the first range that ends at or after a member, or the count. */
static int
find_range(const SeCharSet *set, uint32_t member)
{
	int			low = 0;
	int			high = set->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (set->ranges[middle].last < member)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Tell whether all from first to last are members of a set. */
bool
se_charset_has_all(const SeCharSet *set, uint32_t first, uint32_t last)
{
	int			i = find_range(set, first);

	return i < set->count && set->ranges[i].first <= first && set->ranges[i].last >= last;
}

/* Tell whether any from first to last is a member of a set. */
bool
se_charset_has_any(const SeCharSet *set, uint32_t first, uint32_t last)
{
	int			i = find_range(set, first);

	return i < set->count && set->ranges[i].first <= last;
}

/* Make the set of all characters of some general categories. */
static SeCharSet *
from_categories(uint32_t categories)
{
	SeCharSet  *set = se_charset_create();

	for (int i = 0; i < se_category_run_count; i++)
	{
		uint32_t	end = i + 1 < se_category_run_count
			? se_category_runs[i + 1].first : SE_LAST_CHAR + 1;

		if (categories & CATEGORY_BIT(se_category_runs[i].category))
			se_charset_add(set, se_category_runs[i].first, end - 1);
	}
	se_charset_tidy(set);
	return set;
}

/* Make a set of some categories and a table of others. */
static SeCharSet *
from_table(uint32_t categories, const SeCharRange *ranges, int count)
{
	SeCharSet  *set = from_categories(categories);

	for (int i = 0; i < count; i++)
		se_charset_add(set, ranges[i].first, ranges[i].last);
	se_charset_tidy(set);
	return set;
}

/* What \d stands for in Unicode. */
SeCharSet *
se_charset_digits(void)
{
	return from_categories(CATEGORY_BIT(GC_ND));
}

/* What \s stands for in Unicode. */
SeCharSet *
se_charset_spaces(void)
{
	return from_table(0, se_white_space, se_white_space_count);
}

/* What \w stands for in Unicode. */
SeCharSet *
se_charset_words(void)
{
	SeCharSet  *set = from_table(LETTERS | MARKS | CATEGORY_BIT(GC_ND) |
								 CATEGORY_BIT(GC_NL) | CATEGORY_BIT(GC_PC),
								 se_other_alphabetic, se_other_alphabetic_count);

	se_charset_add(set, 0x200C, 0x200D);	/* Join_Control */
	se_charset_tidy(set);
	return set;
}

/* Find the class that is written [:name:]; NULL if there is none. */
SeCharSet *
se_charset_ascii_class(const char *name, size_t len)
{
	for (int i = 0; i < lengthof(ascii_classes); i++)
	{
		SeCharSet  *set;

		if (strlen(ascii_classes[i].name) != len ||
			memcmp(ascii_classes[i].name, name, len) != 0)
			continue;
		set = se_charset_create();
		for (const char *range = ascii_classes[i].ranges; *range; range += 2)
			se_charset_add(set, range[0] == '\001' ? 0 : range[0], range[1]);
		return set;
	}
	return NULL;
}

/* Tell whether a name is one of those that a property value has. */
static bool
is_named(const char *name, const char *candidate)
{
	return candidate != NULL && strcmp(name, candidate) == 0;
}

/* Bring a name to the form it has in tables: loose matching, as in UAX #44. */
static void
normalize_name(char *normalized, size_t room, const char *name, size_t len)
{
	size_t		to = 0;

	/* isc is short for something that is not supported, not for c */
	if (len > 3 && pg_strncasecmp(name, "is", 2) == 0)
	{
		name += 2;
		len -= 2;
	}
	for (size_t i = 0; i < len && to < room - 1; i++)
	{
		unsigned char c = name[i];

		if (c != ' ' && c != '_' && c != '-' && c < 0x80)
			normalized[to++] = (c >= 'A' && c <= 'Z') ? c + 0x20 : c;
	}
	normalized[to] = '\0';
}

/* Find the set that a general category's normalized name stands for. */
static SeCharSet *
category_set(const char *name)
{
	for (int i = 0; i < lengthof(category_names); i++)
	{
		if (is_named(name, category_names[i].short_name) ||
			is_named(name, category_names[i].long_name) ||
			is_named(name, category_names[i].other_name))
			return from_categories(category_names[i].categories);
	}
	if (strcmp(name, "ascii") == 0)
		return se_charset_of_range(0, 0x7F);
	return NULL;
}

/* Find the set that a binary property's normalized name stands for. */
static SeCharSet *
binary_property_set(const char *name)
{
	if (strcmp(name, "alphabetic") == 0 || strcmp(name, "alpha") == 0)
		return from_table(LETTERS | CATEGORY_BIT(GC_NL),
						  se_other_alphabetic, se_other_alphabetic_count);
	if (strcmp(name, "lowercase") == 0 || strcmp(name, "lower") == 0)
		return from_table(CATEGORY_BIT(GC_LL),
						  se_other_lowercase, se_other_lowercase_count);
	if (strcmp(name, "uppercase") == 0 || strcmp(name, "upper") == 0)
		return from_table(CATEGORY_BIT(GC_LU),
						  se_other_uppercase, se_other_uppercase_count);
	if (strcmp(name, "whitespace") == 0 || strcmp(name, "wspace") == 0 ||
		strcmp(name, "space") == 0)
		return se_charset_spaces();
	return NULL;
}

/*
 * Find the set that the name in \p{name} stands for, where the name can also
 * be gc=value; NULL if it is none that we know.
 */
SeCharSet *
se_charset_property(const char *name, size_t len)
{
	const char *equals = memchr(name, ':', len);
	char		property[32];
	char		value[32];
	SeCharSet  *set;

	if (len >= lengthof(value))
		return NULL;
	if (equals == NULL)
		equals = memchr(name, '=', len);
	if (equals == NULL)
	{
		normalize_name(value, sizeof(value), name, len);
		set = binary_property_set(value);
		return set != NULL ? set : category_set(value);
	}
	normalize_name(property, sizeof(property), name, equals - name);
	normalize_name(value, sizeof(value), equals + 1, name + len - equals - 1);
	if (strcmp(property, "gc") != 0 && strcmp(property, "generalcategory") != 0)
		return NULL;
	return category_set(value);
}
