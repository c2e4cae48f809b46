// Marks what the shared library shows; everything else in it is hidden, so that neither our symbols nor those
// of the generated wire code can clash with the program's own.
#ifndef SLUICE_CLIENT_EXPORT_H_
#define SLUICE_CLIENT_EXPORT_H_

#define SLUICE_EXPORT __attribute__((visibility("default")))

#endif  // SLUICE_CLIENT_EXPORT_H_
