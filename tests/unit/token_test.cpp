#include "protocol/mutation.hpp"
#include "protocol/session/token.hpp"

#include "tests/support/seeds.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>

using namespace troupe;
namespace token = troupe::session_token;

namespace {

constexpr std::string_view shop = "shop";
constexpr origin a1{{1}, 1}, a2{{1}, 2}, b1{{2}, 1}, b3{{2}, 3}, c2{{3}, 2};

token::key key_of(std::uint32_t id) { return {id, std::string(32, static_cast<char>('A' + id))}; }

token::content some_content() {
  token::content c;
  c.seen = {{a1, 17}, {b1, 3}, {c2, 1ULL << 40U}};
  c.region = {{a1, 12}, {c2, 7}};
  c.place = token::hash_of("eu");
  c.clock = 123'456'789ULL << 16U;
  return c;
}

std::string sealed(const token::content& c, const token::key_ring& keys = {key_of(1)}) {
  const auto text = token::seal(keys, shop, c);
  REQUIRE(text.has_value());
  return *text;
}

/// What open() says of a text that it refuses; empty when it accepts it.
std::string refusal_of(const std::string& text, const token::key_ring& keys = {key_of(1)},
                       std::string_view cluster = shop) {
  const auto opened = token::open(keys, cluster, text);
  if (opened) return {};
  CHECK(opened.error().code == errc::bad_token);
  return opened.error().detail;
}

token::content random_content(std::mt19937_64& random) {
  token::content c;
  for (const auto& from : {a1, a2, b1, b3, c2})
    if (random() % 2 != 0) c.seen.raise(from, 1 + random() % 4);
  c.place = random() % 3;
  if (c.place != 0)
    for (const auto& from : {a1, b3})
      if (random() % 2 != 0) c.region.raise(from, 1 + random() % 4);
  c.clock = random() % 5;
  token::content demands;
  if (random() % 3 == 0) demands.earlier[{2}] = 1 + random() % 2;
  if (random() % 3 == 0) demands.earlier[{1}] = 1;
  c.join(demands);
  return c;
}

token::content joined(token::content x, const token::content& y) {
  x.join(y);
  return x;
}

/// A session that has seen nine nodes, three lives of each, and as many statements.
token::content large_content(std::uint64_t seq) {
  token::content c;
  for (std::uint32_t node = 1; node <= 9; ++node)
    for (std::uint64_t life = 1; life <= 3; ++life) {
      c.seen.raise({{node}, life * 5}, seq - node);
      c.region.raise({{node}, life * 5}, seq - 2 * node);
    }
  c.place = token::hash_of("eu");
  c.clock = 1'800'000'000'000ULL << 16U;
  return c;
}

} // namespace

TEST_CASE("token: what was sealed is what is opened, on any node that has the key") {
  const auto c = some_content();
  const auto text = sealed(c);
  CHECK(text.starts_with("t1."));
  CHECK(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
        == std::string::npos);
  const auto opened = token::open({key_of(1)}, shop, text);
  REQUIRE(opened.has_value());
  CHECK(*opened == c);
  CHECK(token::open({key_of(1)}, shop, sealed({}))->seen.empty());
}

TEST_CASE("token: a text that was changed, cut off or lengthened anywhere is an error, never an empty token") {
  const auto text = sealed(some_content());
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    CHECK_FALSE(refusal_of(changed).empty());
    CHECK_FALSE(refusal_of(text.substr(0, i)).empty());
    CHECK_FALSE(refusal_of(text.substr(0, i) + text.substr(i + 1)).empty());
  }
  for (const auto* more : {"A", "AA", "AAAA", "=", " ", "\n", "."})
    CHECK_FALSE(refusal_of(text + more).empty());
  CHECK_FALSE(refusal_of("").empty());
  CHECK_FALSE(refusal_of("t1.").empty());
  CHECK_FALSE(refusal_of("t2." + text.substr(3)).empty());
  CHECK_FALSE(refusal_of("t1." + std::string(token::text_bytes_max, 'A')).empty());
  std::mt19937_64 random{7};
  for (int i = 0; i < 1'000; ++i) {
    std::string noise(random() % 200, '\0');
    std::generate(noise.begin(), noise.end(), [&] { return static_cast<char>(random()); });
    CHECK_FALSE(refusal_of("t1." + noise).empty());
  }
}

TEST_CASE("token: one of another key, an unknown key or another cluster is an error that says so") {
  const auto text = sealed(some_content());
  CHECK(refusal_of(text, {{1, std::string(32, 'z')}}).find("does not verify") != std::string::npos);
  CHECK(refusal_of(text, {key_of(2)}).find("the key 1, which is not known here") != std::string::npos);
  CHECK(refusal_of(text, {}).find("not known here") != std::string::npos);
  CHECK(refusal_of(text, {key_of(1)}, "bank").find("another cluster") != std::string::npos);
}

TEST_CASE("token: the first key signs and all verify, so that a key can be replaced while tokens are out") {
  const auto before = sealed(some_content(), {key_of(1)});
  const auto added = sealed(some_content(), {key_of(1), key_of(2)});
  const auto after = sealed(some_content(), {key_of(2), key_of(1)});
  CHECK(before == added);
  CHECK(token::peek(after)->key_id == 2);
  for (const auto& text : {before, added, after})
    CHECK(refusal_of(text, {key_of(2), key_of(1)}).empty());
  CHECK_FALSE(refusal_of(before, {key_of(2)}).empty()); // retired for good
  CHECK(refusal_of(after, {key_of(2)}).empty());
}

TEST_CASE("token: a key is written as its id and its secret, and what is wrong quotes no secret") {
  const std::string hex(64, 'e');
  const auto k = token::key_in("7:" + hex);
  REQUIRE(k.has_value());
  CHECK(k->id == 7);
  CHECK(k->secret == std::string(32, '\xee'));
  CHECK(to_string(*k) == "7:" + hex);
  for (const auto& wrong : {hex, "0:" + hex, "-1:" + hex, "4294967296:" + hex, "x:" + hex, ":" + hex,
                            "7:" + hex + "e", "7:" + std::string(62, 'e'), "7:" + std::string(64, 'g'),
                            "7:" + std::string(258, 'e'), "7: " + hex, std::string{"7"}}) {
    const auto refused = token::key_in(wrong);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().find("ee") == std::string::npos);
  }
}

TEST_CASE("token: a cluster without a secret has a key of its name, and no other cluster's") {
  CHECK(token::key_of_name("shop") == token::key_of_name("shop"));
  CHECK(token::key_of_name("shop").secret != token::key_of_name("bank").secret);
  const auto text = sealed(some_content(), {token::key_of_name("shop")});
  CHECK(refusal_of(text, {key_of(1), token::key_of_name("shop")}).empty());
  CHECK_FALSE(refusal_of(text).empty());
}

TEST_CASE("token: of nine nodes with three lives each it has at most 1 KiB, however high the numbers") {
  for (const auto seq : {std::uint64_t{100}, std::uint64_t{1} << 33U, ~std::uint64_t{0}}) {
    const auto c = large_content(seq);
    const auto text = sealed(c);
    CAPTURE(seq);
    MESSAGE("token of 27 origins, numbers up to " << seq << ": " << text.size() << " bytes");
    CHECK(text.size() <= 1024);
    CHECK(*token::open({key_of(1)}, shop, text) == c);
  }
}

TEST_CASE("token: what the stable frontier covers is not carried") {
  auto c = some_content();
  c.compact({{a1, 17}, {b1, 2}, {b3, 9}});
  CHECK(c.seen == version_vector{{b1, 3}, {c2, 1ULL << 40U}});
  CHECK(c.region == version_vector{{c2, 7}});
  CHECK(c.clock == some_content().clock);
}

TEST_CASE("token: of a region's frontier it says nothing about origins of which nothing was seen") {
  auto c = some_content();
  c.region.raise({{9}, 1}, 1'000);
  CHECK(*token::open({key_of(1)}, shop, sealed(c)) == some_content());
}

TEST_CASE("token: merging is a join: in any order, any number of times, nothing is lost") {
  const auto seeds = test::seeds(2'000);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    const auto x = random_content(random);
    const auto y = random_content(random);
    const auto z = random_content(random);
    REQUIRE(joined(x, y) == joined(y, x));
    REQUIRE(joined(joined(x, y), z) == joined(x, joined(y, z)));
    REQUIRE(joined(x, x) == x);
    REQUIRE(joined(joined(x, y), y) == joined(x, y));
    REQUIRE(joined(x, y).contains(x));
    REQUIRE(joined(x, y).contains(y));
    REQUIRE(x.contains(y)
            == (joined(x, y).seen == x.seen && joined(x, y).earlier == x.earlier && x.clock >= y.clock));
    REQUIRE(token::open({key_of(1)}, shop, sealed(joined(x, y)))->seen == joined(x, y).seen);
  }
}

TEST_CASE("token: statements about the frontiers of two regions are never mixed") {
  auto eu = some_content();
  auto us = some_content();
  us.place = token::hash_of("us");
  us.region = {{b1, 3}};
  const auto both = joined(eu, us);
  CHECK((both.region == eu.region || both.region == us.region));
  CHECK(joined(us, eu) == both);
  CHECK(token::taken_to(token::hash_of("us"), eu).region.empty());
  CHECK(token::taken_to(token::hash_of("us"), eu).seen == eu.seen);
  CHECK(token::taken_to(token::hash_of("eu"), eu) == eu);
  v1::SessionVector wire;
  token::to_wire(eu, wire);
  CHECK(token::from_wire(wire, eu.place) == eu);
  CHECK(token::from_wire(wire, 0).region.empty());
}

TEST_CASE("token: too many origins collapse upward, youngest lives stay, and no dependency is lost") {
  const auto seeds = test::seeds(500);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    token::content before;
    std::vector<dot> ended; // how all lives but the youngest of each node have ended
    const auto nodes = 1 + random() % 12;
    for (std::uint32_t node = 1; node <= nodes; ++node) {
      const auto lives = 1 + random() % 6;
      for (std::uint64_t life = 1; life <= lives; ++life) {
        const auto seq = random() % 5;
        before.seen.raise({{node}, life}, seq);
        if (life < lives) ended.push_back({{{node}, life}, seq + random() % 3});
      }
    }
    std::shuffle(ended.begin(), ended.end(), random);
    const auto most = nodes + random() % 8;
    auto after = before;
    REQUIRE(after.collapse(most));
    REQUIRE(after.seen.size() <= most);
    REQUIRE(after.contains(before));
    REQUIRE(joined(after, before) == after);
    if (before.seen.size() <= most) REQUIRE(after == before);
    for (const auto& e : before.seen.entries()) {
      const auto later = std::any_of(before.seen.entries().begin(), before.seen.entries().end(), [&](const auto& o) {
        return o.from.node == e.from.node && o.from.life > e.from.life;
      });
      if (!later) REQUIRE(after.seen.at(e.from) == e.seq); // of the youngest life
    }
    REQUIRE(*token::open({key_of(1)}, shop, sealed(after)) == after);
    auto back = after;
    REQUIRE(back.expand(ended).has_value());
    REQUIRE(back.earlier.empty());
    REQUIRE(back.seen.contains(before.seen));
    for (const auto& e : back.seen.entries()) { // upward to numbers that exist
      const bool is_final = std::find(ended.begin(), ended.end(), dot{e.from, e.seq}) != ended.end();
      REQUIRE((is_final || before.seen.at(e.from) == e.seq));
    }
  }
}

TEST_CASE("token: a collapsed one is an error where it is not known how the lives have ended") {
  token::content c;
  c.seen = {{{{1}, 2}, 5}, {{{1}, 4}, 6}, {{{1}, 7}, 1}, {{{2}, 1}, 1}};
  REQUIRE(c.collapse(2));
  CHECK(c.earlier == std::map<node_id, std::uint64_t>{{{1}, 4}});
  auto unknown = c;
  const auto why = unknown.expand({{{{1}, 2}, 5}, {{{2}, 4}, 9}});
  REQUIRE_FALSE(why.has_value());
  CHECK(why.error().code == errc::dependency_timeout);
  CHECK(why.error().detail.find("n1.4") != std::string::npos);
  CHECK(unknown == c);
  REQUIRE(c.expand({{{{1}, 2}, 5}, {{{1}, 4}, 0}}).has_value()); // of life 4 nothing has survived
  CHECK(c.seen == version_vector{{{{1}, 2}, 5}, {{{1}, 7}, 1}, {{{2}, 1}, 1}});
}

TEST_CASE("token: one of more nodes than it may name is refused, not shortened") {
  token::content c;
  for (std::uint32_t node = 1; node <= token::entries_max; ++node)
    c.seen.raise({{node}, 1}, ~std::uint64_t{0});
  c.region = c.seen;
  c.place = 1;
  CHECK(sealed(c).size() <= token::text_bytes_max);
  c.seen.raise({{token::entries_max + 1}, 1}, 1);
  CHECK(token::seal({key_of(1)}, shop, c).error().code == errc::overloaded);
}

TEST_CASE("token: without a key one sees what a text claims") {
  const auto claim = token::peek(sealed(some_content()));
  REQUIRE(claim.has_value());
  CHECK(claim->key_id == 1);
  CHECK(claim->cluster == token::hash_of(shop));
  CHECK(claim->what == some_content());
  CHECK_FALSE(token::peek("t1.AAAA").has_value());
}

TEST_CASE("token: a context of concurrent values is sealed likewise, and is no token") {
  const version_vector context{{a1, 3}, {b1, 1}};
  const auto text = token::seal_context({key_of(1)}, shop, context);
  REQUIRE(text.has_value());
  CHECK(*token::open_context({key_of(2), key_of(1)}, shop, *text) == context);
  CHECK_FALSE(refusal_of(*text).empty());
  CHECK_FALSE(refusal_of("t1" + text->substr(2)).empty()); // the seal is of the whole text
  const auto as_context = "c1" + sealed(some_content()).substr(2);
  CHECK(token::open_context({key_of(1)}, shop, as_context).error().code == errc::bad_token);
  CHECK(token::open_context({key_of(1)}, shop, "").error().code == errc::bad_token);
  version_vector huge;
  for (std::uint32_t node = 1; node <= 1'000; ++node)
    huge.raise({{node}, 1}, 1ULL << 60U);
  CHECK(token::seal_context({key_of(1)}, shop, huge).error().code == errc::overloaded);
}

TEST_CASE("token: that it verifies and that collapsing forgets nothing is what the tests above look at") {
  auto forged = sealed(some_content());
  forged[forged.size() - 2] = forged[forged.size() - 2] == 'A' ? 'B' : 'A'; // in the seal
  token::content many;
  many.seen = {{a1, 1}, {a2, 1}};
  auto few = many;
  CHECK_FALSE(refusal_of(forged).empty());
  plant(mutation::token_not_verified);
  CHECK(refusal_of(forged).empty());
  plant(mutation::collapse_forgets);
  CHECK(few.collapse(1));
  plant(mutation::none);
  CHECK_FALSE(few.contains(many));
}
