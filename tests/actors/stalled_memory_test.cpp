/// A holder whose own threads stand still past its lease, over a real cluster in this process: its memory must not
/// answer any more. And the proof that this test could fail: a table that does not look at leases answers, with what
/// is over.
#include <troupe/runtime.hpp>

#include "protocol/mutation.hpp"
#include "runtime/runtime_access.hpp"
#include "tests/actors/stall.hpp"
#include "tests/actors/three_nodes.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// What a client node that stands still reads after another node's write has been acknowledged.
result<std::optional<found>> read_after_write_elsewhere() {
  three_nodes cluster;
  auto members = cluster.start_members();
  auto web = cluster.start("web");
  if (auto ready = web.wait_ready(20s); !ready) FAIL(ready.error().message());
  auto reader = web.open_session(), writer = members[0].open_session();
  value_of(writer.put("inventory", "k", "old"));
  std::uint64_t hits = 0;
  for (int i = 0; i < 1'000 && hits == 0; ++i) {
    value_of(reader.get("inventory", "k"));
    runtime_access{web}.with_parts([&](assembly& parts) { hits = parts.actors().memory()->count().hits; });
  }
  REQUIRE(hits > 0);
  const stall standing{web};
  value_of(writer.put("inventory", "k", "new", {.deadline = 20s})); // waits until the reader's lease is over
  return reader.get("inventory", "k", {.deadline = 100ms});
}

} // namespace

TEST_CASE("S1: a node that stands still past its lease answers nothing from memory that another has overwritten") {
  const auto read = read_after_write_elsewhere();
  REQUIRE_FALSE(read);
  CHECK(read.error().code() == errc::timeout);
}

TEST_CASE("S1: planted: a memory table that does not look at leases is seen to answer with what is over") {
  plant(mutation::table_lease_not_checked); // for this thread, which reads
  const auto read = read_after_write_elsewhere();
  plant(mutation::none);
  REQUIRE(read);
  REQUIRE(*read);
  CHECK((*read)->value == "old");
}
