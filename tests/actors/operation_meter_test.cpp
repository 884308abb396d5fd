/// What is counted of operations, by the level that they were given.
#include "runtime/faces/operation_meter.hpp"

#include "protocol/error.hpp"
#include "runtime/config_file.hpp"

#include <doctest/doctest.h>

#include <prometheus/text_serializer.h>

#include <string>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

cluster shape() {
  auto c = example_config("eu-1").shape;
  c.types["cart"] = {level::session, on_timeout::unknown};
  return c;
}

std::string text_of(operation_meter& meter) { return prometheus::TextSerializer{}.Serialize(meter.collect()); }

bool has(const std::string& text, const std::string& line) { return text.find(line + "\n") != std::string::npos; }

v1::Result ended(errc code) {
  v1::Result r;
  r.set_error(static_cast<std::uint32_t>(code));
  return r;
}

} // namespace

TEST_CASE("meter: operations are counted by the level of their type and by the one that they were given") {
  operation_meter meter{shape()};
  meter.count("inventory", v1::Operation::kGet, {}, 1ms);
  meter.count({.type = "inventory", .what = v1::Operation::kGet, .took = 1ms, .given = level::eventual}, {});
  meter.count({.type = "cart", .what = v1::Operation::kGet, .took = 1ms, .given = level::strong}, {});
  meter.count("cart", v1::Operation::kPut, {}, 1ms);
  meter.find("inventory")->from_memory().count(0);
  meter.find("cart")->from_memory(level::eventual).count(100);
  CHECK(meter.find("nowhere") == nullptr);
  meter.count("nowhere", v1::Operation::kGet, ended(errc::unknown_type), 1ms);
  const auto text = text_of(meter);
  const auto line = [](const std::string& type, const std::string& own, const std::string& given,
                       const std::string& what, int n) {
    return "troupe_operations_total{given=\"" + given + "\",level=\"" + own + "\",operation=\"" + what
           + "\",outcome=\"done\",type=\"" + type + "\"} " + std::to_string(n);
  };
  CHECK(has(text, line("inventory", "strong", "strong", "get", 2)));
  CHECK(has(text, line("inventory", "strong", "eventual", "get", 1)));
  CHECK(has(text, line("cart", "session", "session", "get", 1))); // never stronger than its type
  CHECK(has(text, line("cart", "session", "session", "put", 1)));
  CHECK(has(text, line("cart", "session", "eventual", "get", 1)));
  CHECK(text.find(R"(given="causal")") == std::string::npos); // nobody has asked for it
  CHECK(text.find(R"(outcome="not_done",type=""} 1)") != std::string::npos);
  CHECK(has(text_of(meter), line("inventory", "strong", "strong", "get", 2))); // collecting counts nothing twice
}

TEST_CASE("meter: staleness and waits are histograms of what was measured") {
  operation_meter meter{shape()};
  meter.count({.type = "cart", .what = v1::Operation::kGet, .took = 1ms, .given = level::eventual, .staleness = 2s},
              {});
  meter.count({.type = "cart",
               .what = v1::Operation::kGet,
               .took = 1ms,
               .waited_dependency = 3ms,
               .waited_token = 4ms,
               .waited_lock = 5ms},
              {});
  meter.count("cart", v1::Operation::kGet, {}, 1ms);
  const auto text = text_of(meter);
  CHECK(has(text, R"(troupe_staleness_seconds_count{level="eventual",type="cart"} 1)"));
  CHECK(has(text, R"(troupe_staleness_seconds_bucket{level="eventual",type="cart",le="1"} 0)"));
  CHECK(has(text, R"(troupe_staleness_seconds_bucket{level="eventual",type="cart",le="5"} 1)"));
  for (const std::string what : {"dependency", "token", "lock"})
    CHECK(has(text, "troupe_wait_seconds_count{level=\"session\",type=\"cart\",wait=\"" + what + "\"} 1"));
}

TEST_CASE("meter: the monitor is told once of each operation, and not of what its caller asked wrongly") {
  operation_meter meter{shape()};
  CHECK(meter.take_tallies(instant{1s}).empty());
  meter.count("inventory", v1::Operation::kGet, {}, 1ms);
  meter.count("inventory", v1::Operation::kAdd, {}, 1ms); // refused by its floor: done
  meter.count("inventory", v1::Operation::kPut, ended(errc::timeout), 1ms);
  meter.count("inventory", v1::Operation::kPut, ended(errc::overloaded), 1ms);
  meter.count("inventory", v1::Operation::kPut, ended(errc::cancelled), 1ms);
  meter.count("inventory", v1::Operation::kAdd, ended(errc::not_a_number), 1ms);
  meter.count("nowhere", v1::Operation::kGet, ended(errc::unknown_type), 1ms);
  meter.find("inventory")->from_memory().count(0);
  meter.count({.type = "inventory", .what = v1::Operation::kGet, .took = 1ms, .given = level::causal}, {});
  text_of(meter); // which takes nothing away
  const auto tallies = meter.take_tallies(instant{1s});
  REQUIRE(tallies.size() == 2);
  CHECK(tallies[0].given == level::causal);
  CHECK(tallies[0].succeeded == 1);
  CHECK(tallies[1].given == level::strong);
  CHECK(tallies[1].succeeded == 3);
  CHECK(tallies[1].failed == 2);
  CHECK(tallies[1].at == instant{1s});
  CHECK(meter.take_tallies(instant{2s}).empty());
}
