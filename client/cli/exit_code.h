// What `sluice` tells the shell when it ends. 0 only when what was asked happened.
//
// Thread safety: constants.
#ifndef SLUICE_CLIENT_CLI_EXIT_CODE_H_
#define SLUICE_CLIENT_CLI_EXIT_CODE_H_

namespace sluice::cli {

enum class ExitCode : int {
  kDone = 0,
  // It did not happen, or not all of it; standard error says what and why.
  kFailure = 1,
  // The command line makes no sense; nothing was tried.
  kUsage = 2,
  // It did not happen in the time that it was given.
  kTimeout = 3,
  // Ended before it was done by SIGHUP, SIGINT (Ctrl-C) or SIGTERM: 128 and the signal's number, as shells
  // have it.
  kHangup = 129,
  kInterrupted = 130,
  kTerminated = 143,
  // Whoever read our standard output has gone (128 and SIGPIPE); nothing is said about it.
  kReaderGone = 141,
};

// For --help.
inline constexpr char kExitCodesHelp[] =
    "Exit codes: 0 what was asked happened; 1 it did not, or not all of it; 2 the command line makes no "
    "sense;\n"
    "3 not in the time given; 129, 130, 143 ended by SIGHUP, SIGINT (Ctrl-C), SIGTERM before it was done;\n"
    "141 the reader of standard output went away.";

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_EXIT_CODE_H_
