/* banned.h - what no file of src may call; included before everything else by the build (src/meson.build).
 *
 * Unbounded copies, conversions that cannot report an error, a shell, and a rename that is not durable: base/buf.h,
 * base/text.h, io/process.h and io/file.h have what to use instead.  The system's own headers mention these names, so
 * they come first.  src/io/file.c, which makes renames durable, defines LG_ALLOW_RENAME in its build argument.
 */
#ifndef LG_BASE_BANNED_H
#define LG_BASE_BANNED_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#pragma GCC poison strcpy strcat sprintf vsprintf gets atoi atol system popen
#ifndef LG_ALLOW_RENAME
#pragma GCC poison rename renameat renameat2
#endif

#endif
