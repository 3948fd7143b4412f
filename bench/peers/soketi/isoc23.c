// The C23 names that glibc has since 2.38, forwarded to the C99 functions of an older one.
#include <stdarg.h>

extern long strtol(const char *, char **, int);
extern unsigned long strtoul(const char *, char **, int);
extern int vsscanf(const char *, const char *, va_list);

long __isoc23_strtol(const char *text, char **end, int base) { return strtol(text, end, base); }

unsigned long __isoc23_strtoul(const char *text, char **end, int base) {
    return strtoul(text, end, base);
}

int __isoc23_sscanf(const char *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int matched = vsscanf(text, format, arguments);
    va_end(arguments);
    return matched;
}
