// Runs a fuzz target as an ordinary test: over the files of its corpus, then over random changes of them. The
// same seed gives the same inputs everywhere.
//
//   publish_fuzz_replay [--mutations N] [--seed S] DIRECTORY-OR-FILE...
//
// A crash is reported with the input that caused it, in hex.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

constexpr size_t kInputBytesMax = 4096;

struct Input {
  std::string name;
  std::string bytes;
};

// For the report of a crash.
const Input* current_input = nullptr;

void ReportInput() {
  if (current_input == nullptr) return;
  std::fprintf(stderr, "\nThe input was %s, %zu bytes:\n", current_input->name.c_str(),
               current_input->bytes.size());
  for (unsigned char byte : current_input->bytes) std::fprintf(stderr, "%02x ", byte);
  std::fprintf(stderr, "\n");
}

extern "C" void OnSignal(int signal_number) {
  ReportInput();
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

void Run(const Input& input) {
  current_input = &input;
  // A copy of exactly this size, so that AddressSanitizer sees a read behind the end.
  const std::vector<uint8_t> bytes(input.bytes.begin(), input.bytes.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  current_input = nullptr;
}

Input ReadInput(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {path.string(), std::string(std::istreambuf_iterator<char>(file), {})};
}

std::vector<Input> ReadInputs(const std::vector<std::string>& paths) {
  std::vector<Input> inputs;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      inputs.push_back(ReadInput(path));
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(path)) inputs.push_back(ReadInput(entry));
  }
  std::sort(inputs.begin(), inputs.end(), [](const Input& a, const Input& b) { return a.name < b.name; });
  return inputs;
}

class Mutator {
 public:
  Mutator(const std::vector<Input>* inputs, uint32_t seed) : inputs_(*inputs), random_(seed) {}

  std::string Next() {
    std::string bytes = Any();
    for (size_t edits = 1 + Below(5); edits > 0; --edits) Edit(&bytes);
    bytes.resize(std::min(bytes.size(), kInputBytesMax));
    return bytes;
  }

 private:
  size_t Below(size_t end) { return random_() % end; }
  const std::string& Any() { return inputs_[Below(inputs_.size())].bytes; }

  void Edit(std::string* bytes) {
    static constexpr std::array<uint8_t, 12> kTelling = {0x00, 0x01, 0x02, 0x0a, 0x12, 0x22,
                                                         0x7f, 0x80, 0xc0, 0xff, '.',  '*'};
    const size_t at = Below(bytes->size() + 1);
    const size_t length = std::min(bytes->size() - at, 1 + Below(16));
    switch (Below(8)) {
      case 0:
        if (length > 0) (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << Below(8)));
        break;
      case 1:
        if (length > 0) (*bytes)[at] = static_cast<char>(kTelling[Below(kTelling.size())]);
        break;
      case 2:
        if (length > 0) (*bytes)[at] = static_cast<char>((*bytes)[at] + (Below(2) == 0 ? 1 : -1));
        break;
      case 3:
        bytes->insert(at, 1, static_cast<char>(random_()));
        break;
      case 4:
        bytes->erase(at, length);
        break;
      case 5: {
        const std::string copy = bytes->substr(at, length);
        bytes->insert(Below(bytes->size() + 1), copy);
        break;
      }
      case 6:
        bytes->resize(at);
        break;
      default: {
        const std::string& other = Any();
        const size_t from = Below(other.size() + 1);
        bytes->insert(at, other, from, 1 + Below(64));
        break;
      }
    }
  }

  const std::vector<Input>& inputs_;
  std::mt19937 random_;
};

}  // namespace

int main(int argc, char** argv) {
  uint64_t mutations = 0;
  uint32_t seed = 1;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--mutations" && i + 1 < argc) {
      mutations = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--seed" && i + 1 < argc) {
      seed = static_cast<uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    } else {
      paths.emplace_back(argument);
    }
  }
  for (int signal_number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    std::signal(signal_number, OnSignal);
  }
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(ReportInput);
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);

  const std::vector<Input> inputs = ReadInputs(paths);
  if (inputs.empty()) {
    std::fprintf(stderr, "no input: name a corpus directory or files\n");
    return 1;
  }
  for (const Input& input : inputs) Run(input);
  Mutator mutator(&inputs, seed);
  for (uint64_t i = 0; i < mutations; ++i) {
    Run({"mutation " + std::to_string(i) + " of seed " + std::to_string(seed), mutator.Next()});
  }
  std::printf("ran %zu files and %llu mutations with seed %u\n", inputs.size(),
              static_cast<unsigned long long>(mutations), seed);
  return 0;
}
