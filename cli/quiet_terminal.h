/* quiet_terminal.h: keys that are typed while an answer comes do not appear in the middle of it;
 * they are kept for the next line. However the program ends or stops meanwhile, the terminal is as
 * it was before. Does nothing where stdin is no terminal. */
#ifndef PUNA_CLI_QUIET_TERMINAL_H
#define PUNA_CLI_QUIET_TERMINAL_H

void quiet_terminal_begin(void);
void quiet_terminal_end(void);

#endif
