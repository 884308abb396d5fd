#include "protocol/error.hpp"
#include "protocol/mutation.hpp"
#include "protocol/session/session_vector.hpp"
#include "tests/support/seeds.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

using namespace troupe;

namespace {

constexpr origin a{{1}, 1}, b{{2}, 1}, c{{3}, 1};

v1::SessionVector vector_of(const version_vector& seen, const version_vector& region = {}, std::uint64_t clock = 0) {
  v1::SessionVector v;
  to_wire(seen, *v.mutable_seen());
  to_wire(region, *v.mutable_region());
  v.set_clock(clock);
  return v;
}

v1::WeakAnswer read_answer(const version_vector& seen, const version_vector& region = {}, std::uint64_t clock = 0) {
  v1::WeakAnswer answer;
  *answer.mutable_session() = vector_of(seen, region, clock);
  return answer;
}

v1::WeakAnswer write_answer(const dot& written, const version_vector& region = {}) {
  auto answer = read_answer({}, region);
  to_wire(written, *answer.mutable_written());
  return answer;
}

v1::WeakAnswer failed(v1::WeakAnswer answer) {
  answer.mutable_result()->set_error(static_cast<std::uint32_t>(errc::dependency_timeout));
  return answer;
}

v1::WeakOperation operation(const std::string& key, bool writes, std::uint32_t guarantees = guarantee::all) {
  v1::WeakOperation o;
  o.set_key(key);
  o.set_guarantees(guarantees);
  if (writes)
    o.mutable_put();
  else
    o.mutable_get();
  return o;
}

/// What an operation on `key` is sent with: "seen / own".
std::string sent(const session_vector& v, v1::WeakOperation o, stream_lane lane = stream_lane::ordered) {
  v.attach(o, lane);
  std::string own;
  for (const auto& d : o.own())
    own += " " + to_string(from_wire(d));
  return to_string(from_wire(o.session().seen())) + " /" + own;
}
std::string read_of(const session_vector& v, const std::string& key, std::uint32_t guarantees = guarantee::all) {
  return sent(v, operation(key, false, guarantees));
}
std::string write_of(const session_vector& v, const std::string& key, std::uint32_t guarantees = guarantee::all) {
  return sent(v, operation(key, true, guarantees));
}

} // namespace

TEST_CASE("session vector: T2, T4: what was read is waited for by reads, and depended on by writes") {
  session_vector v;
  v.raise_by("k", read_answer({{a, 5}}), stream_lane::ordered);
  v.raise_by("k", read_answer({{a, 3}, {b, 2}}), stream_lane::ordered);
  CHECK(read_of(v, "other") == "n1.1:5 n2.1:2 /");
  CHECK(write_of(v, "other") == "n1.1:5 n2.1:2 /");
}

TEST_CASE("session vector: T1: an own write is joined to a read of its key, and waited for by no read of another") {
  session_vector v;
  v.raise_by("k", write_answer({a, 7}), stream_lane::ordered);
  CHECK(read_of(v, "k") == "- / n1.1:7");
  CHECK(read_of(v, "other") == "- /");
  v.raise_by("k", write_answer({b, 4}), stream_lane::ordered);
  CHECK(read_of(v, "k") == "- / n1.1:7 n2.1:4");
  CHECK(v.own_writes() == 2);
}

TEST_CASE("session vector: T3: a write depends on the own writes before it, of whatever key") {
  session_vector v;
  v.raise_by("k", write_answer({a, 7}), stream_lane::ordered);
  CHECK(write_of(v, "other") == "n1.1:7 /");
  CHECK(write_of(v, "k") == "n1.1:7 / n1.1:7");
}

TEST_CASE(
    "session vector: T1: an own write that the region is said to have is waited for, where that is not known yet") {
  session_vector v;
  v.raise_by("k", write_answer({a, 7}), stream_lane::ordered);
  v.raise_by("other", read_answer({}, {{a, 6}}), stream_lane::ordered);
  CHECK(read_of(v, "k") == "- / n1.1:7");
  v.raise_by("other", read_answer({}, {{a, 7}}), stream_lane::ordered);
  CHECK(read_of(v, "k") == "n1.1:7 /");
  CHECK(v.own_writes() == 0);
  auto o = operation("k", false);
  v.attach(o, stream_lane::ordered);
  CHECK(from_wire(o.session().region()) == version_vector{{a, 7}}); // which spares the wait
}

TEST_CASE(
    "session vector: T1: answers to own writes of one replica may come in another order than it executed them") {
  session_vector v;
  v.raise_by("k", write_answer({a, 7}), stream_lane::ordered);
  v.raise_by("other", write_answer({a, 6}), stream_lane::ordered);
  CHECK(read_of(v, "other") == "- / n1.1:6");
}

TEST_CASE("session vector: T1: an own write is waited for only with what it depends on, without which nobody would "
          "see it") {
  session_vector v;
  v.raise_by("k", write_answer({a, 7}), stream_lane::ordered);
  v.raise_by("k", write_answer({b, 4}), stream_lane::ordered);
  v.raise_by("other", read_answer({{c, 2}}, {{b, 4}}), stream_lane::ordered);
  CHECK(read_of(v, "k", guarantee::read_your_writes) == "- / n1.1:7 n2.1:4"); // it depends on the one before it
  v.raise_by("other", read_answer({}, {{a, 7}}), stream_lane::ordered);
  CHECK(read_of(v, "k", guarantee::read_your_writes) == "n1.1:7 n2.1:4 n3.1:2 /");
}

TEST_CASE("session vector: X1: of too many own writes the oldest are waited for by all reads") {
  session_vector v{2};
  v.raise_by("x", write_answer({a, 1}), stream_lane::ordered);
  v.raise_by("y", write_answer({b, 1}), stream_lane::ordered);
  v.raise_by("x", write_answer({a, 2}), stream_lane::ordered);
  CHECK(v.own_writes() == 2);
  CHECK(read_of(v, "x") == "n1.1:1 / n1.1:2");
  CHECK(read_of(v, "y") == "n1.1:1 / n2.1:1");
  CHECK(write_of(v, "z") == "n1.1:2 n2.1:1 /");
  v.raise_by("x", write_answer({a, 2}), stream_lane::ordered); // a repeated answer
  CHECK(v.own_writes() == 2);
}

TEST_CASE("session vector: each guarantee can be switched off by itself") {
  session_vector v{1};
  v.raise_by("old", write_answer({a, 1}), stream_lane::ordered); // soon waited for
  v.raise_by("k", write_answer({b, 1}), stream_lane::ordered);
  v.raise_by("k", read_answer({{c, 9}}), stream_lane::ordered);
  using namespace guarantee;
  CHECK(read_of(v, "k", all) == "n1.1:1 n3.1:9 / n2.1:1");
  CHECK(read_of(v, "k", all & ~read_your_writes) == "n3.1:9 /");
  CHECK(read_of(v, "k", all & ~monotonic_reads) == "n1.1:1 / n2.1:1");
  CHECK(read_of(v, "k", none) == "- /");
  CHECK(write_of(v, "k", all) == "n1.1:1 n2.1:1 n3.1:9 / n2.1:1");
  CHECK(write_of(v, "k", all & ~monotonic_writes) == "n3.1:9 / n2.1:1");
  CHECK(write_of(v, "k", all & ~writes_follow_reads) == "n1.1:1 n2.1:1 / n2.1:1");
  CHECK(write_of(v, "k", none) == "- / n2.1:1"); // a write replaces the own ones before it all the same
}

TEST_CASE("session vector: named dependencies stand for what was read, never for the session's own writes") {
  session_vector v;
  v.raise_by("k", read_answer({{c, 9}}), stream_lane::ordered);
  v.raise_by("k", write_answer({a, 1}), stream_lane::ordered);
  auto o = operation("other", true);
  o.set_explicit_depends(true);
  to_wire(version_vector{{b, 3}}, *o.mutable_depends());
  v.attach(o, stream_lane::ordered);
  CHECK(from_wire(o.session().seen()) == version_vector{{a, 1}});
  CHECK(from_wire(o.depends()) == version_vector{{a, 1}, {b, 3}});
}

TEST_CASE("session vector: operations on eventual types carry and raise the stamp, and nothing else") {
  session_vector v;
  v.raise_by("k", read_answer({{a, 1}}, {}, 10), stream_lane::ordered);
  auto answer = write_answer({b, 4});
  answer.mutable_session()->set_clock(20);
  v.raise_by("free", answer, stream_lane::free);
  auto o = operation("free", true, guarantee::none);
  v.attach(o, stream_lane::free);
  CHECK(o.session().clock() == 20);
  CHECK(from_wire(o.session().seen()) == version_vector{});
  CHECK(o.own_size() == 0);
  CHECK(write_of(v, "k") == "n1.1:1 /"); // the free lane has sequence numbers of its own
}

TEST_CASE("session vector: it is raised by errors, too") {
  session_vector v;
  v.raise_by("k", failed(read_answer({{a, 5}}, {}, 8)), stream_lane::ordered);
  v.raise_by("k", failed(write_answer({b, 4})), stream_lane::ordered);
  CHECK(read_of(v, "k") == "n1.1:5 / n2.1:4");
  CHECK(v.exported().clock() == 8);
}

TEST_CASE(
    "session vector: T3: a forgotten write is below what its replica names: writes depend on that, reads do not") {
  session_vector v;
  auto answer = write_answer({a, 90});
  answer.mutable_result()->set_error(static_cast<std::uint32_t>(errc::forgotten));
  v.raise_by("k", answer, stream_lane::ordered);
  CHECK(write_of(v, "k") == "n1.1:90 /");
  CHECK(read_of(v, "k") == "- /");
}

TEST_CASE("session vector: what was lost with its node is told once, and the session goes on without it") {
  session_vector v;
  v.raise_by("k", read_answer({{a, 9}, {b, 9}}), stream_lane::ordered);
  v.raise_by("k", write_answer({a, 12}), stream_lane::ordered);
  auto answer = read_answer({});
  answer.mutable_result()->set_error(static_cast<std::uint32_t>(errc::lost_update));
  v.raise_by("k", answer, stream_lane::ordered); // does not say which
  CHECK(read_of(v, "k") == "n1.1:9 n2.1:9 / n1.1:12");
  to_wire(dot{a, 7}, *answer.mutable_survived());
  v.raise_by("k", answer, stream_lane::ordered);
  CHECK(read_of(v, "k") == "n1.1:7 n2.1:9 /");
  CHECK(write_of(v, "k") == "n1.1:7 n2.1:9 /");
  v.raise_by("k", answer, stream_lane::ordered);
  CHECK(read_of(v, "k") == "n1.1:7 n2.1:9 /");
  to_wire(dot{b, 0}, *answer.mutable_survived()); // nothing of it
  answer.mutable_result()->set_error(0);
  v.raise_by("k", answer, stream_lane::ordered); // not with this outcome
  CHECK(read_of(v, "k") == "n1.1:7 n2.1:9 /");
  answer.mutable_result()->set_error(static_cast<std::uint32_t>(errc::lost_update));
  v.raise_by("k", answer, stream_lane::ordered);
  CHECK(read_of(v, "k") == "n1.1:7 /");
}

TEST_CASE("session vector: T1: a replica that counts the write itself as seen makes no read wait for it") {
  session_vector v;
  auto answer = write_answer({a, 7});
  to_wire(version_vector{{a, 7}, {b, 3}}, *answer.mutable_session()->mutable_seen());
  v.raise_by("k", answer, stream_lane::ordered);
  CHECK(read_of(v, "k") == "n2.1:3 / n1.1:7");
}

TEST_CASE("session vector: the planted mistake that forgets what errors tell is seen by the test above") {
  plant(mutation::token_not_raised_on_errors);
  session_vector v;
  v.raise_by("k", failed(read_answer({{a, 5}})), stream_lane::ordered);
  plant(mutation::none);
  CHECK(read_of(v, "k") == "- /");
}

TEST_CASE(
    "session vector: T1-T4: a session that goes on from a token elsewhere waits for all of it, and depends on it") {
  session_vector v;
  v.raise_by("k", read_answer({{a, 5}}, {{a, 5}}, 8), stream_lane::ordered);
  v.raise_by("k", write_answer({b, 4}), stream_lane::ordered);
  session_vector there;
  there.join(v.exported());
  CHECK(read_of(there, "k") == "n1.1:5 n2.1:4 /");
  CHECK(read_of(there, "k", guarantee::read_your_writes) == "n1.1:5 n2.1:4 /"); // which of it is own, nobody knows
  CHECK(write_of(there, "other", guarantee::monotonic_writes) == "n1.1:5 n2.1:4 /");
  CHECK(there.exported().SerializeAsString() == v.exported().SerializeAsString());
}

TEST_CASE(
    "session vector: tokens are a join semilattice: order and duplicates change nothing, and nothing goes back") {
  for (std::uint64_t seed = 1; seed <= test::seeds(200); ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    const auto any_vector = [&] {
      version_vector v;
      for (int i = 0; i < 3; ++i)
        v.raise({{1 + static_cast<std::uint32_t>(random() % 3)}, 1 + random() % 2}, random() % 6);
      return v;
    };
    const auto any = [&] { return vector_of(any_vector(), any_vector(), random() % 10); };
    const auto joined = [](std::initializer_list<v1::SessionVector> all) {
      session_vector v;
      for (const auto& each : all)
        v.join(each);
      return v.exported();
    };
    const auto same = [](const v1::SessionVector& x, const v1::SessionVector& y) {
      return x.SerializeAsString() == y.SerializeAsString();
    };
    const auto x = any(), y = any(), z = any();
    CHECK(same(joined({x, x}), joined({x})));
    CHECK(same(joined({x, y}), joined({y, x})));
    CHECK(same(joined({joined({x, y}), z}), joined({x, joined({y, z})})));
    CHECK(same(joined({x, {}}), joined({x})));
    // Answers, errors and tokens in any order: what was seen stays seen, and an own write is never left out.
    session_vector v{3};
    version_vector written;
    std::map<std::string, std::vector<dot>> by_key;
    std::uint64_t seq = 0;
    for (int i = 0; i < 40; ++i) {
      const auto before = from_wire(v.exported().seen());
      const auto key = std::to_string(random() % 4);
      if (random() % 3 == 0) {
        const dot d{a, ++seq};
        auto answer = write_answer(d, any_vector());
        v.raise_by(key, random() % 4 == 0 ? failed(answer) : answer, stream_lane::ordered);
        by_key[key].push_back(d);
      } else if (random() % 2 == 0) {
        v.raise_by(key, read_answer(any_vector(), any_vector()), stream_lane::ordered);
      } else {
        v.join(any());
      }
      CHECK(from_wire(v.exported().seen()).contains(before));
      for (const auto& [k, dots] : by_key) {
        auto o = operation(k, false);
        v.attach(o, stream_lane::ordered);
        auto named = from_wire(o.session().seen());
        for (const auto& d : dots) {
          const bool own =
              std::any_of(o.own().begin(), o.own().end(), [&](const auto& w) { return from_wire(w) == d; });
          CHECK((own || named.covers(d)));
        }
      }
      CHECK(v.own_writes() <= 3);
    }
  }
}
