#include "client/cli/top.h"

#include <fmt/format.h>
#include <locale.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <vector>

// Last: it defines words such as `timeout` as macros.
#include "client/cli/admin.h"
#include "client/cli/consumers.h"
#include "client/cli/event.h"
#include "client/cli/text.h"
#include "client/clock.h"

#define NCURSES_NOMACROS 1
#define NCURSES_WIDECHAR 1
#include <ncurses.h>

namespace sluice::cli {
namespace {

constexpr std::array kOrders = {"pending", "age", "dropped", "stalled"};
constexpr size_t kListMax = 1000;
constexpr const char* kKeys = "s order   / filter   q quit";

struct TopFlags {
  AdminFlags admin;
  std::string sort = "pending";
  absl::Duration interval = absl::Seconds(1);
};

// The terminal as curses has it, given back as it was.
class Screen {
 public:
  Screen() : screen_(::newterm(nullptr, stdout, stdin)) {
    if (screen_ == nullptr) return;
    ::cbreak();
    ::noecho();
    ::nodelay(::stdscr, true);
    ::keypad(::stdscr, true);
    ::curs_set(0);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen() {
    if (screen_ == nullptr) return;
    ::endwin();
    ::delscreen(screen_);
  }
  bool usable() const { return screen_ != nullptr; }
  int rows() const { return ::getmaxy(::stdscr); }

  void Clear() { ::werase(::stdscr); }
  // Cut at the edge; a row that is not there is left out.
  void Line(int row, const std::string& text, attr_t look = A_NORMAL) {
    if (row < 0 || row >= rows()) return;
    ::wattrset(::stdscr, static_cast<int>(look));
    const int columns = std::max(0, ::getmaxx(::stdscr) - 1);
    const std::string_view shown = FirstColumns(text, static_cast<size_t>(columns));
    ::mvwaddnstr(::stdscr, row, 0, shown.data(), static_cast<int>(shown.size()));
    ::wattrset(::stdscr, static_cast<int>(A_NORMAL));
  }
  void Show() { ::wrefresh(::stdscr); }
  // Whatever else has written on the terminal goes away with the next Show().
  void DrawAnew() { ::clearok(::curscr, true); }
  // ERR: there is none.
  int Key() { return ::wgetch(::stdscr); }

 private:
  SCREEN* const screen_;
};

class Top {
 public:
  Top(const TopFlags& flags, Console* console)
      : flags_(flags), console_(*console), client_(flags.admin, *console) {
    order_ = static_cast<size_t>(std::find(kOrders.begin(), kOrders.end(), flags.sort) - kOrders.begin());
  }

  ExitCode Run() {
    // The first answer is awaited before the screen is taken: what is wrong is said as usual.
    Ask();
    if (!error_.ok()) return console_.interrupt().exit_code().value_or(console_.Fail(error_));
    Screen screen;
    if (!screen.usable()) {
      return console_.Fail(absl::InvalidArgumentError("this terminal cannot be drawn on; is TERM set?"));
    }
    for (absl::Time next = client::MonotonicNow() + flags_.interval;;) {
      Draw(&screen);
      (void)WaitFor({STDIN_FILENO, console_.interrupt().fd()}, next);
      if (const std::optional<ExitCode> code = console_.interrupt().exit_code()) return *code;
      for (int key = screen.Key(); key != ERR; key = screen.Key()) {
        screen.DrawAnew();
        if (Take(key) == Next::kQuit) return ExitCode::kDone;
      }
      if (asks_now_ || client::MonotonicNow() >= next) {
        Ask();
        next = client::MonotonicNow() + flags_.interval;
      }
    }
  }

 private:
  enum class Next { kGoOn, kQuit };

  void Ask() {
    asks_now_ = false;
    const absl::Time now = client::MonotonicNow();
    const absl::StatusOr<nlohmann::json> broker = client_.Get("/api/broker");
    absl::StatusOr<nlohmann::json> list =
        broker.ok()
            ? client_.Get("/api/consumers", {{"sort", kOrders[order_]}, {"limit", std::to_string(kListMax)}})
            : broker.status();
    error_ = list.status();
    if (!list.ok()) return;
    broker_line_ = BrokerLine(broker_, *broker, now - asked_at_);
    broker_ = *broker;
    list_ = *std::move(list);
    asked_at_ = now;
  }

  void Draw(Screen* screen) {
    screen->Clear();
    int row = 0;
    screen->Line(row++, broker_line_);
    if (!error_.ok()) {
      screen->Line(row++,
                   fmt::format("no answer for {}: {}", RoundedDuration(client::MonotonicNow() - asked_at_),
                               std::string(error_.message())),
                   A_BOLD);
    }
    const std::vector<std::string> lines = ConsumerTable(Filtered(list_, filter_)).Lines();
    for (size_t i = 0; i < lines.size() && row < screen->rows() - 1; ++i) {
      screen->Line(row++, lines[i], i == 0 ? A_REVERSE : A_NORMAL);
    }
    std::string bottom = fmt::format("{}   by {}   {}", ConsumerCount(list_), kOrders[order_], kKeys);
    if (typing_ || !filter_.empty()) bottom = "filter: " + filter_ + (typing_ ? "_" : "") + "   " + bottom;
    std::string fit;
    AppendForTerminal(bottom, &fit);
    screen->Line(screen->rows() - 1, fit, A_REVERSE);
    screen->Show();
  }

  Next Take(int key) {
    if (typing_) {
      if (key == '\n' || key == KEY_ENTER || key == '\x1b') {
        typing_ = false;
        if (key == '\x1b') filter_.clear();
      } else if (key == KEY_BACKSPACE || key == '\x7f' || key == '\b') {
        while (!filter_.empty() && (filter_.back() & 0xc0) == 0x80) filter_.pop_back();
        if (!filter_.empty()) filter_.pop_back();
      } else if (key >= ' ' && key <= 0xff) {
        filter_.push_back(static_cast<char>(key));
      }
      return Next::kGoOn;
    }
    if (key == 'q') return Next::kQuit;
    if (key == '/') typing_ = true;
    if (key == 's') {
      order_ = (order_ + 1) % kOrders.size();
      asks_now_ = true;
    }
    return Next::kGoOn;
  }

  const TopFlags& flags_;
  Console& console_;
  AdminClient client_;
  size_t order_ = 0;
  bool asks_now_ = false;
  bool typing_ = false;
  std::string filter_;
  nlohmann::json broker_;
  nlohmann::json list_ = nlohmann::json::object();
  std::string broker_line_;
  absl::Time asked_at_ = client::MonotonicNow();
  absl::Status error_;
};

ExitCode Run(const TopFlags& flags, Console& console) {
  if (!console.output_is_terminal() || ::isatty(STDIN_FILENO) == 0) {
    return console.Fail(
        absl::InvalidArgumentError("a terminal is needed; for scripts there is `sluice consumers`"));
  }
  // What a client is called is UTF-8, whatever the terminal's language.
  if (::setlocale(LC_CTYPE, "C.UTF-8") == nullptr) (void)::setlocale(LC_CTYPE, "");
  return Top(flags, &console).Run();
}

}  // namespace

std::string BrokerLine(const nlohmann::json& before, const nlohmann::json& now, absl::Duration between) {
  const auto rate = [&](const char* counter) {
    if (!before.is_object() || between <= absl::ZeroDuration()) return std::string("-");
    const double events = NumberOf(now, counter) - NumberOf(before, counter);
    return RoundedCount(std::max(0.0, events) / absl::ToDoubleSeconds(between)) + "/s";
  };
  const double budget = NumberOf(now, "memory_budget_bytes");
  std::string line;
  AppendForTerminal(TextOf(now, "version"), &line);
  return fmt::format(
      "sluiced {} {}  in {}  out {}  pending {}  memory {:.0f}%  lagging {:.0f}  cut {:.0f}  up {}", line,
      TextOf(now, "state"), rate("messages_received"), rate("messages_delivered"),
      RoundedBytes(NumberOf(now, "pending_bytes")),
      budget == 0 ? 0 : 100 * NumberOf(now, "retained_bytes") / budget,
      NumberOf(now, "lagging_subscriptions"), NumberOf(now, "slow_consumer_disconnects"),
      absl::FormatDuration(absl::Seconds(static_cast<int64_t>(NumberOf(now, "uptime_seconds")))));
}

nlohmann::json Filtered(nlohmann::json list, const std::string& text) {
  if (text.empty() || !list.contains("consumers")) return list;
  nlohmann::json kept = nlohmann::json::array();
  for (nlohmann::json& one : list["consumers"]) {
    for (const char* field : {"client_name", "address", "filter", "state"}) {
      if (TextOf(one, field).find(text) == std::string::npos) continue;
      kept.push_back(std::move(one));
      break;
    }
  }
  list["consumers"] = std::move(kept);
  return list;
}

Subcommand AddTop(CLI::App* parent) {
  const auto flags = std::make_shared<TopFlags>();
  CLI::App* app =
      parent->add_subcommand("top", "Watch the broker's consumers in a terminal, the slowest first");
  app->add_option("--sort", flags->sort, "what comes first: pending, age, dropped or stalled")
      ->check(CLI::IsMember({"pending", "age", "dropped", "stalled"}))
      ->type_name("ORDER")
      ->capture_default_str();
  AddDuration(app, "-i,--interval", &flags->interval, {absl::Milliseconds(100), absl::Hours(1)},
              "time from one look to the next");
  AddAdminFlags(app, AdminActs::kAsks, &flags->admin);
  SetFooter(app, std::string("Keys: ") + kKeys + "\n  sluice top\n  sluice top --sort age --interval 5s\n");
  return {app, [flags](Console& console) { return Run(*flags, console); }};
}

}  // namespace sluice::cli
