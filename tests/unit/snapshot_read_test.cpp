#include "runtime/snapshot_read.hpp"

#include "protocol/version_vector.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

using namespace troupe;

namespace {

constexpr origin a{{1}, 1}, b{{2}, 1};

/// What reads one key, as the test wants it answered.
struct script {
  struct asked {
    std::size_t place = 0;
    std::optional<version_vector> cut;
    snapshot_read::answered then;
  };
  std::vector<asked> open;
  std::optional<errc> outcome;

  void run(std::size_t keys) {
    snapshot_read::run(
        keys,
        [this](std::size_t place, const v1::Vector* cut, snapshot_read::answered then) {
          open.push_back({place, cut == nullptr ? std::nullopt : std::optional{from_wire(*cut)}, std::move(then)});
        },
        [this](errc code) {
          REQUIRE_FALSE(outcome);
          outcome = code;
        });
  }
  void answer(std::size_t i, errc code = errc::none, const version_vector& region = {},
              const version_vector& seen = {}) {
    v1::SessionVector session;
    to_wire(region, *session.mutable_region());
    to_wire(seen, *session.mutable_seen());
    open.at(i).then(code, session);
  }
};

} // namespace

TEST_CASE("C2: a snapshot is read at one cut, which has the past of all that it shows") {
  script s;
  s.run(3);
  REQUIRE(s.open.size() == 1);
  CHECK_FALSE(s.open[0].cut); // as it is
  s.answer(0, errc::none, {{a, 5}}, {{b, 2}});
  REQUIRE(s.open.size() == 4);
  for (std::size_t i = 1; i < 4; ++i) {
    CHECK(s.open[i].place == i - 1);
    CHECK(s.open[i].cut == version_vector{{a, 5}, {b, 2}});
    CHECK_FALSE(s.outcome);
    s.answer(i);
  }
  CHECK(s.outcome == errc::none);
}

TEST_CASE("C2: a cut of nothing is a cut, too") {
  script s;
  s.run(1);
  s.answer(0);
  REQUIRE(s.open.size() == 2);
  CHECK(s.open[1].cut == version_vector{});
}

TEST_CASE("C2: a cut that has grown too old is taken anew, and not for ever") {
  script s;
  s.run(2);
  for (int attempt = 1; attempt <= 3; ++attempt) {
    CHECK_FALSE(s.outcome);
    const auto n = s.open.size();
    s.answer(n - 1, errc::none, {{a, static_cast<std::uint64_t>(attempt)}});
    REQUIRE(s.open.size() == n + 2);
    CHECK(s.open[n].cut == version_vector{{a, static_cast<std::uint64_t>(attempt)}});
    s.answer(n, errc::old_cut);
    s.answer(n + 1);
  }
  CHECK(s.outcome == errc::old_cut);
}

TEST_CASE("C2: any other error ends a snapshot, once all reads are answered") {
  script s;
  s.run(2);
  s.answer(0, errc::none, {{a, 1}});
  s.answer(2, errc::old_cut);
  CHECK_FALSE(s.outcome);
  s.answer(1, errc::dependency_timeout);
  CHECK(s.outcome == errc::dependency_timeout);
  script first;
  first.run(2);
  first.answer(0, errc::expired);
  CHECK(first.outcome == errc::expired);
  CHECK(first.open.size() == 1);
}
