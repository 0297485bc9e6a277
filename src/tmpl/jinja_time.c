/* jinja_time.c: strftime_now: the caller's local time by the conversions of C's strftime in the C locale. What is
 * unknown is printed as it stands. Weekday and day of the year are computed from the date. */
#include "tmpl/jinja_render.h"
#include "tmpl/tmpl.h"

#include <stdio.h>
#include <string.h>

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};

typedef struct date {
    int year, month, day, hour, minute, second; /* month 1..12 */
    int weekday, yearday;                       /* 0: Sunday; 0: 1 January */
} date;

static bool is_leap(int year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int within(int v, int low, int high) {
    return v < low ? low : v > high ? high : v;
}

static date date_of(const struct tm *tm) {
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    date d = {within(tm->tm_year, -1899, 8099) + 1900,
              within(tm->tm_mon, 0, 11) + 1,
              within(tm->tm_mday, 1, 31),
              within(tm->tm_hour, 0, 23),
              within(tm->tm_min, 0, 59),
              within(tm->tm_sec, 0, 60),
              0,
              0};
    d.yearday = before[d.month - 1] + d.day - 1 + (d.month > 2 && is_leap(d.year));
    const int y = d.year - 1;
    d.weekday = (1 + y * 365 % 7 + y / 4 - y / 100 + y / 400 + d.yearday) % 7;
    return d;
}

/* ISO 8601: week and its year. */
static int iso_week(const date *d, int *year) {
    const int monday_based = (d->weekday + 6) % 7;
    int week = (d->yearday - monday_based + 10) / 7;
    *year = d->year;
    if (week < 1) {
        date last = *d;
        last.year--;
        last.yearday = is_leap(last.year) ? 365 : 364;
        last.weekday = (d->weekday - d->yearday - 1 + 371) % 7;
        return iso_week(&last, year);
    }
    const int days_left = (is_leap(d->year) ? 366 : 365) - d->yearday - 1;
    if (week == 53 && days_left < 3 - monday_based) {
        *year = d->year + 1;
        week = 1;
    }
    return week;
}

/* A number of at least `width` digits, filled with fill ('0', ' '), or without fill when flag is '-'. */
static void number(char *out, size_t cap, int value, int width, char fill, char flag) {
    if (flag == '-') width = 1;
    if (flag == '_') fill = ' ';
    if (flag == '0') fill = '0';
    if (fill == '0')
        (void)snprintf(out, cap, "%0*d", width, value);
    else
        (void)snprintf(out, cap, "%*d", width, value);
}

static void upper(char *s, char flag) {
    for (; flag == '^' && *s; s++)
        if (*s >= 'a' && *s <= 'z') *s = (char)(*s - 32);
}

/* Conversions that stand for others. */
static const char *composed(char c) {
    switch (c) {
    case 'c': return "%a %b %e %H:%M:%S %Y";
    case 'x':
    case 'D': return "%m/%d/%y";
    case 'X':
    case 'T': return "%H:%M:%S";
    case 'R': return "%H:%M";
    case 'r': return "%I:%M:%S %p";
    case 'F': return "%Y-%m-%d";
    default: return NULL;
    }
}

/* One conversion into out; false: unknown. */
static bool convert(const date *d, char c, char flag, char *out, size_t cap) {
    const int hour12 = d->hour % 12 ? d->hour % 12 : 12;
    int iso_year;
    const int week = iso_week(d, &iso_year);
    const struct {
        char c;
        int value, width;
        char fill;
    } numbers[] = {{'d', d->day, 2, '0'},
                   {'e', d->day, 2, ' '},
                   {'m', d->month, 2, '0'},
                   {'y', d->year % 100, 2, '0'},
                   {'Y', d->year, 1, '0'},
                   {'C', d->year / 100, 2, '0'},
                   {'H', d->hour, 2, '0'},
                   {'k', d->hour, 2, ' '},
                   {'I', hour12, 2, '0'},
                   {'l', hour12, 2, ' '},
                   {'M', d->minute, 2, '0'},
                   {'S', d->second, 2, '0'},
                   {'j', d->yearday + 1, 3, '0'},
                   {'w', d->weekday, 1, '0'},
                   {'u', (d->weekday + 6) % 7 + 1, 1, '0'},
                   {'U', (d->yearday + 7 - d->weekday) / 7, 2, '0'},
                   {'W', (d->yearday + 7 - (d->weekday + 6) % 7) / 7, 2, '0'},
                   {'V', week, 2, '0'},
                   {'G', iso_year, 1, '0'},
                   {'g', iso_year % 100, 2, '0'},
                   {'f', 0, 6, '0'}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].c != c) continue;
        number(out, cap, numbers[i].value, numbers[i].width, numbers[i].fill, flag);
        return true;
    }
    switch (c) {
    case 'a': (void)snprintf(out, cap, "%.3s", days[d->weekday]); break;
    case 'A': (void)snprintf(out, cap, "%s", days[d->weekday]); break;
    case 'b':
    case 'h': (void)snprintf(out, cap, "%.3s", months[d->month - 1]); break;
    case 'B': (void)snprintf(out, cap, "%s", months[d->month - 1]); break;
    case 'p': (void)snprintf(out, cap, d->hour < 12 ? "AM" : "PM"); break;
    case 'P': (void)snprintf(out, cap, d->hour < 12 ? "am" : "pm"); break;
    case 'n': (void)snprintf(out, cap, "\n"); break;
    case 't': (void)snprintf(out, cap, "\t"); break;
    case '%': (void)snprintf(out, cap, "%%"); break;
    case 'z':
    case 'Z': *out = 0; break; /* the time has no zone */
    default: return false;
    }
    upper(out, flag);
    return true;
}

static bool put_format(pn_builder *b, const date *d, const char *s, size_t n, int32_t origin) {
    for (size_t i = 0; i < n;) {
        char out[64];
        size_t run = i;
        while (run < n && s[run] != '%') run++;
        if (!pn_put(b, s + i, run - i, origin) || !pn_r_charge(b->r, 2)) return false;
        if (run == n) break;
        i = run + 1;
        const char flag = i < n && s[i] && strchr("-_0^#", s[i]) ? s[i++] : 0;
        const char c = i < n ? s[i] : 0;
        const char *const whole = composed(c);
        if (whole) {
            if (!put_format(b, d, whole, strlen(whole), origin)) return false;
            i++;
        } else if (c && convert(d, c, flag, out, sizeof out)) {
            if (!pn_put_c(b, out, origin)) return false;
            i++;
        } else if (!pn_put(b, s + run, i - run, origin)) {
            return false;
        }
    }
    return true;
}

bool pn_strftime(pn_render *r, const pn_text *format, pn_value *out) {
    const date d = date_of(&r->now);
    pn_builder b = pn_builder_new(r);
    const int32_t origin = format->n ? pn_text_origin(format, 0) : 0;
    return put_format(&b, &d, format->data, format->n, origin) && pn_builder_text(&b, out);
}
