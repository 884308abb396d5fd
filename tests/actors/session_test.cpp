/// What one session may have open. Its node is a client whose cluster is not there: nothing is settled in time.
#include <troupe/runtime.hpp>

#include "protocol/limits.hpp"
#include "runtime/config_file.hpp"

#include <doctest/doctest.h>

#include <future>
#include <string>
#include <vector>

using namespace troupe;
using namespace std::chrono_literals;

TEST_CASE("session: its open operations are bounded by what they weigh, also those that wait behind one key") {
  auto settings = example_config("web-1");
  settings.deadline = 2s;
  settings.log.level = "off";
  auto read = config::from_toml(print_config(settings), "web-1");
  if (!read) FAIL(read.error().message());
  auto node = runtime::start(*read);
  if (!node) FAIL(node.error().message());
  auto session = node->open_session();
  const auto put = [&] {
    return session.async().put("inventory", "one key", std::string(limits::value_bytes_max, 'v'));
  };
  constexpr std::size_t fit = limits::session_bytes_max / limits::value_bytes_max - 1; // a key weighs something, too
  constexpr std::size_t more = 5;
  std::vector<pending<written>> puts;
  for (std::size_t i = 0; i < fit + more; ++i)
    puts.push_back(put());
  const auto error_of = [](pending<written>& f) {
    const auto outcome = f.get();
    return outcome ? errc::none : outcome.error().code();
  };
  for (std::size_t i = fit; i < fit + more; ++i)
    CHECK(error_of(puts[i]) == errc::overloaded);
  for (std::size_t i = 0; i < fit; ++i)
    CHECK(error_of(puts[i]) != errc::overloaded);
  auto later = put(); // they have given back what they weighed
  CHECK(error_of(later) != errc::overloaded);
}

TEST_CASE("session: X1: its open operations are bounded by their number, on whatever keys") {
  auto settings = example_config("web-1");
  settings.deadline = 3s;
  settings.log.level = "off";
  auto read = config::from_toml(print_config(settings), "web-1");
  if (!read) FAIL(read.error().message());
  auto node = runtime::start(*read);
  if (!node) FAIL(node.error().message());
  auto session = node->open_session();
  std::vector<pending<written>> puts;
  for (std::size_t i = 0; i < limits::session_operations_max; ++i)
    puts.push_back(session.async().put("inventory", std::to_string(i % 1'000), "v"));
  auto beyond = session.async().put("inventory", "another", "v");
  REQUIRE(beyond.wait_for(0s) == std::future_status::ready);
  CHECK(beyond.get().error().code() == errc::overloaded);
  for (auto& each : puts) {
    const auto outcome = each.get();
    CHECK((outcome || outcome.error().code() != errc::overloaded));
  }
}
