#include "runtime/weak_reads.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>

using namespace troupe;

namespace {

constexpr origin a{{1}, 1}, b{{2}, 1};

/// A node's copies, and one session there.
struct node {
  weak_copies copies{std::make_shared<weak_table>(std::size_t{1} << 20), std::make_shared<weak_pictures>()};
  weak_reads reads{copies};
  std::uint64_t publication = 0;
  version_vector visible{};

  void put(const std::string& key, const std::string& value, dot written) {
    copies.table->publish({.key = key,
                           .exists = true,
                           .value = value,
                           .written = written,
                           .clock = written.seq << 16U,
                           .publication = publication + 1});
    visible.raise(written);
  }
  void complete() {
    copies.pictures->complete(++publication, visible);
    copies.table->applied(publication);
  }
  /// "-" = the replica has to be asked.
  std::string get(const std::string& key, level at = level::causal) {
    std::string value;
    const auto hit = reads.read(key, at, value);
    return hit ? value : "-";
  }
  void answered(const std::string& key, const version_vector& seen, dot written = {}) {
    v1::WeakAnswer answer;
    to_wire(seen, *answer.mutable_session()->mutable_seen());
    if (written) to_wire(written, *answer.mutable_written());
    reads.answered(key, answer, true);
  }
};

} // namespace

TEST_CASE("weak reads: a copy answers once all that became visible with it is there (C1)") {
  node n;
  n.put("t:x", "1", {a, 1});
  CHECK(n.get("t:x") == "-");
  CHECK(n.get("t:x", level::eventual) == "1"); // nothing is ordered there
  n.complete();
  CHECK(n.get("t:x") == "1");
  // An effect is there, its cause is not yet.
  n.put("t:y", "effect", {b, 1});
  CHECK(n.get("t:y") == "-");
  CHECK(n.get("t:x") == "1"); // of the picture before, of which nothing was overwritten
  n.put("t:x", "cause", {a, 2});
  CHECK(n.get("t:x") == "-");
  n.complete();
  CHECK(n.get("t:y") == "effect");
  CHECK(n.get("t:x") == "cause");
  CHECK(n.get("t:z") == "-");
}

TEST_CASE("weak reads: what the session has seen elsewhere is visible first (T2)") {
  node n;
  n.put("t:x", "1", {a, 1});
  n.complete();
  CHECK(n.get("t:x") == "1");
  n.answered("t:z", {{b, 7}}); // by a node that was ahead
  CHECK(n.get("t:x") == "-");
  CHECK(n.get("t:x", level::eventual) == "1");
  n.put("t:x", "2", {a, 2});
  n.complete();
  CHECK(n.get("t:x") == "-");
  n.put("t:z", "z", {b, 7});
  CHECK(n.get("t:x") == "-");
  n.complete();
  CHECK(n.get("t:x") == "2");
  v1::SessionVector token;
  to_wire(version_vector{{b, 8}}, *token.mutable_seen());
  n.reads.joined(token);
  CHECK(n.get("t:x") == "-");
}

TEST_CASE("weak reads: an own write is seen before its key is read here; other keys do not wait for it (T1)") {
  node n;
  n.put("t:x", "1", {a, 1});
  n.put("t:y", "1", {a, 2});
  n.complete();
  n.answered("t:x", {}, {a, 3});
  CHECK(n.get("t:x") == "-");
  CHECK(n.get("t:y") == "1");
  n.put("t:x", "mine", {a, 3});
  n.complete();
  CHECK(n.get("t:x") == "mine");
  n.answered("t:x", {}, {a, 4});
  n.answered("t:x", {}, {b, 1}); // by another node; both have to be seen
  n.put("t:x", "of b", {b, 1});
  n.complete();
  CHECK(n.get("t:x") == "-");
  n.put("t:x", "of both", {a, 4});
  n.complete();
  CHECK(n.get("t:x") == "of both");
}

TEST_CASE(
    "weak reads: an own write that is covered is not seen yet while one before it, of another key, is not (T1)") {
  node n;
  n.put("t:x", "1", {a, 1});
  n.put("t:y", "1", {a, 2});
  n.complete();
  n.answered("t:x", {}, {a, 3});
  n.answered("t:y", {}, {b, 1}); // depends on the one before it
  n.visible.raise({b, 1});       // in the frontier, and hidden all the same: its cause is not there
  n.complete();
  CHECK(n.get("t:y") == "-");
  n.put("t:x", "mine", {a, 3});
  n.put("t:y", "mine", {b, 1});
  n.complete();
  CHECK(n.get("t:y") == "mine");
}

TEST_CASE("weak reads: what was read here is told to the session's actor, once (T4)") {
  node n;
  CHECK_FALSE(n.reads.untold());
  n.put("t:x", "1", {a, 9});
  n.complete();
  CHECK_FALSE(n.reads.untold());
  CHECK(n.get("t:x") == "1");
  const auto news = n.reads.untold();
  REQUIRE(news);
  CHECK(from_wire(news->seen()).covers({a, 9}));
  CHECK(news->clock() == 9ULL << 16U);
  CHECK_FALSE(n.reads.untold());
  CHECK(n.get("t:x") == "1");
  CHECK_FALSE(n.reads.untold());
  n.put("t:y", "1", {b, 12});
  n.complete();
  CHECK(n.get("t:y", level::eventual) == "1");
  const auto stamp_only = n.reads.untold(); // an eventual read is in no order, but a later write wins over it
  REQUIRE(stamp_only);
  CHECK(stamp_only->clock() == 12ULL << 16U);
}

TEST_CASE("weak reads: a key that is known not to exist is an answer") {
  node n;
  n.copies.table->publish(
      {.key = "t:x", .exists = false, .value = {}, .written = {a, 1}, .clock = 1, .publication = 1});
  n.visible.raise({a, 1});
  n.complete();
  std::string value;
  const auto hit = n.reads.read("t:x", level::session, value);
  REQUIRE(hit);
  CHECK_FALSE(hit->exists);
}

TEST_CASE("weak reads: own writes of many keys are remembered within bounds, and none is forgotten") {
  node n;
  n.put("t:x", "1", {a, 1});
  n.complete();
  for (std::uint64_t i = 1; i <= 1'100; ++i)
    n.answered("t:own" + std::to_string(i), {}, {b, i});
  CHECK(n.get("t:x") == "-"); // some are needed by every read now
  n.visible.raise(b, 1'100);
  n.complete();
  CHECK(n.get("t:x") == "1");
}
