#include "tests/support/owner_process.hpp"

#include "tests/support/cluster_load.hpp"

#include <troupe/runtime.hpp>

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace troupe::test {

namespace {

using namespace std::chrono_literals;

constexpr auto type = "inventory";
constexpr auto lock_key = "the-lock";
constexpr auto protected_key = "what-it-protects";
constexpr std::chrono::milliseconds ttl{500};
/// One in so many holds lasts longer than the ttl, by renewals.
constexpr std::uint64_t long_hold_every = 40;
constexpr int renewals = 8;
constexpr std::chrono::milliseconds between_renewals{100};
constexpr std::uint64_t nap_every = 30;

std::string program() {
  const char* build = std::getenv("TROUPE_BINARY_DIR");
  if (build == nullptr) throw std::runtime_error{"TROUPE_BINARY_DIR is not set: run the test by ctest"};
  return std::string{build} + "/tests/troupe_test_owner";
}

/// Stops this process, which somebody else wakes up again.
void nap_for(std::chrono::milliseconds time) {
  const auto wake = "(sleep " + std::to_string(static_cast<double>(time.count()) / 1000) + "; kill -CONT "
                    + std::to_string(::getpid()) + ") &";
  if (std::system(wake.c_str()) == 0) ::raise(SIGSTOP); // NOLINT(concurrency-mt-unsafe): one thread does this
}

/// One hold of the lock, and what is done under it.
class hold {
public:
  hold(session& s, named_lock lock, const std::string& owner, std::ostream& out)
      : session_(s), lock_(std::move(lock)), owner_(owner), out_(out), under_(token_of(to_string(lock_.token()))) {}

  void run(bool long_one, std::optional<std::chrono::milliseconds> nap) {
    believe();
    look();
    if (nap) nap_for(*nap);
    write();
    look();
    for (int n = 0; long_one && n < renewals; ++n) {
      (void)wait_until([] { return false; }, between_renewals);
      if (!lock_.renew(1s)) break;
      believe();
    }
    if (long_one) {
      write();
      look();
    }
    write_entry(out_, entry(ledger_entry::kind::gave));
    (void)lock_.release(1s);
  }

private:
  ledger_entry entry(ledger_entry::kind what) const { return {what, owner_, under_, stamp_now(), 0, {}, {}}; }

  /// Until when it has the lock by its own count. A process may be stopped between two looks at a clock.
  void believe() {
    for (;;) {
      auto e = entry(ledger_entry::kind::held);
      const auto remaining = lock_.remaining();
      if (stamp_now() - e.begun > std::chrono::nanoseconds{1ms}.count()) continue;
      if (remaining <= 0ns) return;
      e.ended = e.begun + remaining.count();
      return write_entry(out_, e);
    }
  }

  void look() {
    auto e = entry(ledger_entry::kind::read);
    const auto found = session_.get(type, protected_key, {.deadline = 1s});
    if (!found) return;
    if (*found) e.value = token_of((*found)->value);
    e.ended = stamp_now();
    write_entry(out_, e);
  }

  void write() {
    auto e = entry(ledger_entry::kind::wrote);
    const auto written =
        session_.put(type, protected_key, to_string(under_), {.deadline = 1s, .under = lock_.fence()});
    e.ended = stamp_now();
    if (!written) {
      e.what = ledger_entry::kind::tried;
      e.error = written.error().message();
    }
    write_entry(out_, e);
  }

  session& session_;
  named_lock lock_;
  const std::string& owner_;
  std::ostream& out_;
  const token under_;
};

} // namespace

// -- of the test
// -------------------------------------------------------------------------------------------------------

owner_process::owner_process(test_cluster& cluster, const std::string& name, std::chrono::milliseconds nap)
    : name_(name), ledger_(cluster.folder() / (name + ".ledger")), errors_(cluster.folder() / (name + ".err")) {
  const auto config = cluster.folder() / (name + ".toml");
  std::ofstream{config} << cluster.client_toml(name);
  process_ = std::make_unique<child>(
      std::vector<std::string>{program(), config.string(), name, ledger_.string(), std::to_string(nap.count())},
      cluster.folder() / (name + ".out"), errors_);
}

void owner_process::kill9() {
  process_->signal(SIGKILL);
  if (!process_->wait(10s)) throw std::runtime_error{name_ + " does not end"};
}

std::vector<ledger_entry> owner_process::ledger() const {
  std::ifstream in{ledger_, std::ios::binary};
  return read_ledger(in);
}

std::string owner_process::errors() const {
  std::ostringstream text;
  text << std::ifstream{errors_}.rdbuf();
  return text.str();
}

// -- of the program
// ----------------------------------------------------------------------------------------------------

int own_for_ever(const owner_task& task) {
  auto node = runtime::start(config::from_file(task.config));
  if (!node) {
    std::cerr << node.error().message() << "\n";
    return 1;
  }
  if (const auto ready = node->wait_ready(20s); !ready) {
    std::cerr << ready.error().message() << "\n";
    return 1;
  }
  std::ofstream out{task.output, std::ios::binary};
  auto s = node->open_session();
  for (std::uint64_t n = 1; out; ++n) {
    auto granted = s.lock(type, lock_key, {.ttl = ttl, .protects = {{type, protected_key}}, .deadline = 10s});
    if (!granted) continue;
    const auto nap = n % nap_every == 10 ? std::optional{task.nap} : std::nullopt;
    hold{s, std::move(*granted), task.name, out}.run(n % long_hold_every == 0, nap);
  }
  std::cerr << task.output << " cannot be written\n";
  return 1;
}

} // namespace troupe::test
