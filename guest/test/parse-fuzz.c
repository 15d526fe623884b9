/* libFuzzer's entry: whatever the bytes, the parsers must only read and write within them. */
#include "parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  parse_everything(bytes, length);
  return 0;
}
