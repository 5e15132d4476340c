/* cli.h - the command line: everything that main() does. */
#ifndef LG_CLI_CLI_H
#define LG_CLI_CLI_H

/* Runs one command; returns the process's exit status (lg_code_exit). */
int lg_cli_main(int argc, char **argv);

#endif
