#include "client/cli/flags.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <thread>

#include "client/cli/event.h"
#include "protocol/topic.h"

namespace sluice::cli {
namespace {

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

// A flag whose text `parse` turns into a value, or says why not.
template <typename Value, typename Parse, typename Member>
CLI::Option* AddParsed(CLI::App* app, const std::string& names, Member* member, Parse parse,
                       const std::string& type, const std::string& help) {
  // The first dashed name is what the error names; CLI11 itself would say all of them.
  const std::string name = names.substr(names.rfind(',') == std::string::npos ? 0 : names.rfind(',') + 1);
  return app
      ->add_option_function<std::string>(
          names,
          [member, parse, name](const std::string& text) {
            absl::StatusOr<Value> value = parse(text);
            if (!value.ok()) throw CLI::ValidationError(name, TextOf(value.status()));
            *member = *std::move(value);
          },
          help)
      ->type_name(type);
}

std::string WithRange(const std::string& help, const std::string& range) { return help + " [" + range + "]"; }

template <typename Member>
CLI::Option* AddCountTo(CLI::App* app, const std::string& names, Member* value, Range<uint64_t> range,
                        const std::string& help) {
  const auto parse = [range](const std::string& text) { return ParseCount(text, range); };
  return AddParsed<uint64_t>(app, names, value, parse, "N", WithRange(help, ShowCountRange(range)));
}

template <typename Member>
CLI::Option* AddSizeTo(CLI::App* app, const std::string& names, Member* value, Range<uint64_t> range,
                       const std::string& help) {
  const auto parse = [range](const std::string& text) { return ParseSize(text, range); };
  return AddParsed<uint64_t>(app, names, value, parse, "SIZE", WithRange(help, ShowSizeRange(range)));
}

template <typename Member>
CLI::Option* AddDurationTo(CLI::App* app, const std::string& names, Member* value,
                           Range<absl::Duration> range, const std::string& help) {
  const auto parse = [range](const std::string& text) { return ParseDuration(text, range); };
  return AddParsed<absl::Duration>(app, names, value, parse, "TIME",
                                   WithRange(help, ShowDurationRange(range)));
}

// What a thread that connects and the one that waits for it share; the last one frees it.
struct Attempt {
  Event done;
  absl::StatusOr<std::unique_ptr<Client>> client = absl::UnknownError("not done");
};

}  // namespace

CLI::Option* AddCount(CLI::App* app, const std::string& names, uint64_t* value, Range<uint64_t> range,
                      const std::string& help) {
  return AddCountTo(app, names, value, range, help)->default_str(ShowCount(*value));
}

CLI::Option* AddCount(CLI::App* app, const std::string& names, std::optional<uint64_t>* value,
                      Range<uint64_t> range, const std::string& help) {
  return AddCountTo(app, names, value, range, help);
}

CLI::Option* AddSize(CLI::App* app, const std::string& names, uint64_t* value, Range<uint64_t> range,
                     const std::string& help) {
  return AddSizeTo(app, names, value, range, help)->default_str(ShowSize(*value));
}

CLI::Option* AddSize(CLI::App* app, const std::string& names, std::optional<uint64_t>* value,
                     Range<uint64_t> range, const std::string& help) {
  return AddSizeTo(app, names, value, range, help);
}

CLI::Option* AddDuration(CLI::App* app, const std::string& names, absl::Duration* value,
                         Range<absl::Duration> range, const std::string& help) {
  return AddDurationTo(app, names, value, range, help)->default_str(ShowDuration(*value));
}

CLI::Option* AddDuration(CLI::App* app, const std::string& names, std::optional<absl::Duration>* value,
                         Range<absl::Duration> range, const std::string& help) {
  return AddDurationTo(app, names, value, range, help);
}

CLI::Option* AddRate(CLI::App* app, const std::string& names, std::optional<double>* value,
                     Range<double> range, const std::string& help) {
  const auto parse = [range](const std::string& text) { return ParseRate(text, range); };
  return AddParsed<double>(app, names, value, parse, "RATE", WithRange(help, ShowRateRange(range)));
}

CLI::Option* AddHeaders(CLI::App* app, Headers* headers) {
  return app
      ->add_option_function<std::vector<std::string>>(
          "-H,--header",
          [headers](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              absl::StatusOr<Headers::value_type> header = ParseHeader(text);
              if (!header.ok()) throw CLI::ValidationError("--header", TextOf(header.status()));
              headers->push_back(*std::move(header));
            }
          },
          "a header of the message; may be given several times")
      ->type_name("NAME=VALUE")
      // One value each time, so that it does not swallow what stands behind it.
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

std::vector<HeaderView> ViewOf(const Headers& headers) {
  std::vector<HeaderView> views;
  for (const auto& [name, value] : headers) views.push_back({.name = name, .value = value});
  return views;
}

CLI::Option* AddTopic(CLI::App* app, std::string* topic, const std::string& help) {
  return app
      ->add_option_function<std::string>(
          "TOPIC",
          [topic](const std::string& text) {
            if (const absl::Status status = ValidateTopic(text); !status.ok()) {
              throw CLI::ValidationError("TOPIC", TextOf(status));
            }
            *topic = text;
          },
          help)
      ->type_name("")
      ->required();
}

CLI::Option* AddFilters(CLI::App* app, std::vector<std::string>* filters, const std::string& help) {
  return app
      ->add_option_function<std::vector<std::string>>(
          "FILTER",
          [filters](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              if (const absl::Status status = ValidateFilter(text); !status.ok()) {
                throw CLI::ValidationError("FILTER", TextOf(status));
              }
            }
            *filters = texts;
          },
          help)
      ->type_name("")
      ->required();
}

void AddConnectionFlags(CLI::App* app, ConnectionFlags* flags) {
  constexpr const char* kGroup = "Connection";
  app->add_option(
         "-s,--server", flags->server,
         "the broker: sluice://HOST:PORT, HOST:PORT or HOST; several, joined by commas, are tried in turn")
      ->envname("SLUICE_URL")
      ->type_name("URL")
      ->capture_default_str()
      ->group(kGroup);
  app->add_option("--name", flags->name, "how this client is called in the broker's log")
      ->type_name("NAME")
      ->capture_default_str()
      ->group(kGroup);
  AddDuration(app, "--connect-timeout", &flags->connect_timeout, {absl::Milliseconds(10), absl::Hours(1)},
              "how long a broker may take to answer")
      ->group(kGroup);
}

void SetFooter(CLI::App* app, const std::string& examples) {
  app->footer("Examples:\n" + examples + "\n" + kExitCodesHelp);
}

void Refuse(const std::string& text) { throw CLI::ValidationError(text); }

absl::StatusOr<std::unique_ptr<Client>> Connect(const ConnectionFlags& flags, ClientOptions options,
                                                const Console& console) {
  options.servers = {flags.server};
  options.name = flags.name;
  options.connect_timeout = flags.connect_timeout;
  // Connect() waits for names to be resolved and for brokers to answer; a thread that does nothing else can
  // be left behind when a signal comes.
  const auto attempt = std::make_shared<Attempt>();
  std::thread connecting([attempt, options = std::move(options)]() mutable {
    attempt->client = Client::Connect(std::move(options));
    attempt->done.Set();
  });
  if (!WaitFor({attempt->done.fd(), console.interrupt().fd()}).has(0)) {
    std::_Exit(static_cast<int>(console.interrupt().exit_code().value_or(ExitCode::kInterrupted)));
  }
  connecting.join();
  return std::move(attempt->client);
}

}  // namespace sluice::cli
