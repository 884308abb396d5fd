#include "protocol/stream/conflicts.hpp"
#include "protocol/wire.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace troupe;

namespace {

constexpr origin a{{1}, 1}, b{{2}, 3};

conflict lost(std::uint64_t seq, std::string key = "t:k", std::string value = "v") {
  return {.id = {stream_lane::free, {a, seq}},
          .key = std::move(key),
          .value = std::move(value),
          .when = {10 + seq, a.node},
          .winner = {b, 7},
          .seen_at_ms = 1'000};
}

std::string seqs(const std::vector<const conflict*>& list) {
  std::string out;
  for (const auto* c : list)
    out += (out.empty() ? "" : " ") + std::to_string(c->id.at.seq);
  return out;
}

} // namespace

TEST_CASE("the conflict ledger keeps a losing value once, finds it by its update, and lists newest first by prefix") {
  conflict_ledger ledger{{}};
  CHECK(ledger.record(lost(1, "cart:x")).number == 1);
  CHECK(ledger.record(lost(2, "cart:y")).number == 2);
  CHECK(ledger.record(lost(3, "user:x")).number == 3);
  CHECK(ledger.record(lost(2, "cart:y", "again")).number == 0);
  CHECK(ledger.size() == 3);
  CHECK(seqs(ledger.list("", 9)) == "3 2 1");
  CHECK(seqs(ledger.list("cart:", 9)) == "2 1");
  CHECK(seqs(ledger.list("cart:", 1)) == "2");
  REQUIRE(ledger.find({stream_lane::free, {a, 2}}) != nullptr);
  CHECK(ledger.find({stream_lane::free, {a, 2}})->value == "v");
  CHECK(ledger.find({stream_lane::ordered, {a, 2}}) == nullptr); // the other lane counts from 1 too
  CHECK(ledger.remove({stream_lane::free, {a, 2}}) == 2);
  CHECK(ledger.remove({stream_lane::free, {a, 2}}) == 0);
  CHECK(seqs(ledger.list("", 9)) == "3 1");
}

TEST_CASE("X1: the conflict ledger is bounded in entries and bytes; the oldest are evicted, and counted") {
  conflict_ledger few{{.entries_max = 2}};
  few.record(lost(1));
  few.record(lost(2));
  CHECK(few.record(lost(3)).evicted == std::vector<std::uint64_t>{1});
  CHECK(few.evicted() == 1);
  CHECK(seqs(few.list("", 9)) == "3 2");
  conflict_ledger small{{.entries_max = 100, .bytes_max = 3'000}};
  small.record(lost(1, "t:k", std::string(900, 'v')));
  small.record(lost(2, "t:k", std::string(900, 'v')));
  CHECK(small.record(lost(3, "t:k", std::string(2'000, 'v'))).evicted == std::vector<std::uint64_t>{1, 2});
  CHECK(small.bytes() <= 3'000);
  const auto refused = small.record(lost(4, "t:k", std::string(3'000, 'v')));
  CHECK(refused.number == 0);
  CHECK(refused.evicted.empty());
  CHECK(small.evicted() == 3);
  CHECK(small.size() == 1);
}

TEST_CASE("the bytes of a conflict ledger are those of its entries, whatever was recorded, evicted and removed") {
  std::mt19937_64 random{3};
  conflict_ledger ledger{{.entries_max = 20, .bytes_max = 10'000}};
  for (std::uint64_t i = 1; i <= 500; ++i) {
    ledger.record(lost(1 + random() % 100, "t:" + std::to_string(random() % 9), std::string(random() % 1'000, 'v')));
    if (random() % 3 == 0) ledger.remove({stream_lane::free, {a, 1 + random() % 100}});
    conflict_ledger again{{.entries_max = 20, .bytes_max = 10'000}};
    for (const auto* c : ledger.list("", 99))
      REQUIRE(again.restore(*c));
    REQUIRE(again.bytes() == ledger.bytes());
    REQUIRE(ledger.bytes() <= 10'000);
    REQUIRE(ledger.size() <= 20);
  }
  CHECK(ledger.evicted() > 0);
}

TEST_CASE("a conflict reads back as it was stored, and a damaged one is refused") {
  auto c = lost(4, "t:k", std::string{"\0v", 2});
  c.field = "f";
  c.number = 9;
  v1::Conflict wire;
  to_wire(c, wire);
  const auto back = from_wire(wire);
  REQUIRE(back.has_value());
  CHECK(back->id == c.id);
  CHECK(back->key == c.key);
  CHECK(back->field == c.field);
  CHECK(back->value == c.value);
  CHECK(back->when == c.when);
  CHECK(back->winner == c.winner);
  CHECK(back->seen_at_ms == c.seen_at_ms);
  CHECK(back->number == 9);
  auto damaged = wire;
  damaged.set_value("other");
  CHECK_FALSE(from_wire(damaged).has_value());
  for (const auto change : {0, 1, 2}) { // right by its checksum, and still none
    auto strange = wire;
    if (change == 0) strange.mutable_at()->set_seq(0);
    if (change == 1) strange.set_number(0);
    if (change == 2) strange.set_lane(static_cast<v1::Lane>(5));
    strange.set_checksum(checksum_of(strange));
    CHECK_FALSE(from_wire(strange).has_value());
  }
}

TEST_CASE("a restored ledger goes on counting, and takes no entry twice") {
  conflict_ledger ledger{{.entries_max = 2}};
  auto c = lost(4);
  CHECK_FALSE(ledger.restore(c)); // no number
  c.number = 9;
  CHECK(ledger.restore(c));
  CHECK_FALSE(ledger.restore(c));
  auto other = lost(5);
  other.number = 9;
  CHECK_FALSE(ledger.restore(other));
  other.number = 3;
  CHECK(ledger.restore(other));
  const auto next = ledger.record(lost(6));
  CHECK(next.number == 10);
  CHECK(next.evicted == std::vector<std::uint64_t>{3});
}

TEST_CASE("the id of a conflict reads back from its text, and nothing else does") {
  const conflict_id id{stream_lane::ordered, {b, 17}};
  CHECK(to_string(id) == "ordered/n2.3:17");
  CHECK(conflict_id_from("ordered/n2.3:17") == id);
  CHECK(conflict_id_from("free/n2.3:17") == conflict_id{stream_lane::free, {b, 17}});
  for (const auto* text : {"", "free", "free/", "other/n2.3:17", "free/n2.3:0", "free/n0.3:17", "free/n2.3:17 ",
                           "free/n2.3", "free/n2:17", "free/n-2.3:17", "free/n99999999999.3:17"})
    CHECK_FALSE(conflict_id_from(text).has_value());
}
