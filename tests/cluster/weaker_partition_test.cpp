/// A region that is cut off for a minute, while both sides write: real processes, and a firewall between them.
#include "tests/support/cluster.hpp"
#include "tests/support/private_network.hpp"

#include <doctest/doctest.h>

#include <httplib.h>
#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <cstdlib>
#include <map>
#include <set>
#include <string>

using namespace troupe::test;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr const char* types = R"([types.questions]
level = "causal"

[types.carts]
level = "session"

[types.views]
level = "eventual"
resolver = "counter"

[types.tags]
level = "eventual"
resolver = "set"

[types.pages]
level = "eventual"
)";

/// TROUPE_PARTITION_SECONDS shortens it, for whoever works on this test.
std::chrono::seconds cut_for() {
  const char* asked = std::getenv("TROUPE_PARTITION_SECONDS");
  return std::chrono::seconds{asked == nullptr ? 60 : std::atoi(asked)};
}

/// One session, by the HTTP of a node: it goes on from its token, at whichever node.
class shopper {
public:
  explicit shopper(const test_node& node) { move(node); }

  void move(const test_node& node) {
    client_ = std::make_unique<httplib::Client>(node.place.host, node.admin_port);
    client_->set_read_timeout(40s);
    client_->set_keep_alive(true);
  }
  struct answer {
    int status = 0;
    std::string body;
    bool done() const { return status == 200; }
    bool unknown() const { return status == 0 || status == 504; }
  };
  answer put(const std::string& path, const std::string& value) {
    return keep(client_->Put("/v1/keys/" + path, headers(), value, "text/plain"));
  }
  answer add(const std::string& path) { return keep(client_->Post("/v1/keys/" + path + "?add=1", headers())); }
  answer get(const std::string& path) { return keep(client_->Get("/v1/keys/" + path, headers())); }
  std::string value(const std::string& path) {
    const auto found = get(path);
    return found.done() ? found.body : found.status == 404 ? "nothing" : "error " + found.body;
  }
  const std::string& token() const { return token_; }
  void forget() { token_.clear(); }

private:
  httplib::Headers headers() const { return {{"Troupe-Token", token_}}; }
  answer keep(const httplib::Result& result) {
    if (!result) return {};
    if (const auto seen = result->get_header_value("Troupe-Token"); !seen.empty()) token_ = seen;
    return {result->status, result->body};
  }

  std::unique_ptr<httplib::Client> client_;
  std::string token_;
};

/// What one side has been told to be done, or may have been.
struct side {
  std::size_t node = 0;
  std::int64_t views = 0, maybe_views = 0;
  std::set<std::string> tags{};
  int cart = 0, question = 0;
};

/// One of each kind of write. False: something was refused or is unknown that this side had to accept.
bool write(shopper& s, side& of) {
  const auto name = std::to_string(of.node);
  bool all = true;
  const auto counted = s.add("views/home");
  of.views += counted.done() ? 1 : 0;
  of.maybe_views += counted.unknown() ? 1 : 0;
  all &= counted.done();
  const auto tag = "t" + name + "-" + std::to_string(of.question);
  if (s.put("tags/all?element=" + tag, "").done())
    of.tags.insert(tag);
  else
    all = false;
  all &= s.put("carts/of-" + name, std::to_string(of.cart + 1)).done();
  ++of.cart;
  all &= s.put("questions/q" + name, std::to_string(of.question + 1)).done();
  all &= s.put("questions/a" + name, std::to_string(of.question + 1)).done();
  ++of.question;
  all &= s.put("pages/home", "by " + name + ", " + std::to_string(of.question)).done();
  // It reads its own writes, connected or not.
  all &= s.value("carts/of-" + name) == std::to_string(of.cart);
  all &= s.value("questions/a" + name) == std::to_string(of.question);
  return all;
}

} // namespace

TEST_CASE("E1, E2, E4, C1, T1-T4: a region is cut off for a minute, both sides write, and nothing is lost") {
  private_network::skip_without();
  private_network network{3};
  cluster_options options;
  options.shards = 16;
  options.deadline_ms = 5'000;
  options.places = network.places();
  options.shape = types;
  test_cluster cluster{options};
  REQUIRE(cluster.start());

  std::array<side, 2> sides{side{.node = 0}, side{.node = 2}};
  std::array<shopper, 2> shoppers{shopper{cluster.node(0)}, shopper{cluster.node(2)}};
  for (std::size_t i = 0; i < 2; ++i)
    REQUIRE(write(shoppers[i], sides[i]));

  for (const std::size_t peer : {0U, 1U}) {
    network.cut(peer, 2);
    network.cut(2, peer);
  }
  const auto until = std::chrono::steady_clock::now() + cut_for();
  int rounds = 0, refused = 0;
  while (std::chrono::steady_clock::now() < until) {
    for (std::size_t i = 0; i < 2; ++i)
      refused += write(shoppers[i], sides[i]) ? 0 : 1;
    // Whoever finds an answer on this side finds its question, of the other side, too.
    shopper reader{cluster.node(1)};
    for (const auto* of : {"0", "2"}) {
      const auto answer = reader.value(std::string{"questions/a"} + of);
      const auto question = reader.value(std::string{"questions/q"} + of);
      if (answer != "nothing") CHECK(std::stoi(question) >= std::stoi(answer));
    }
    ++rounds;
    wait_until([&] { return std::chrono::steady_clock::now() >= until; }, 100ms);
  }
  CHECK(rounds > 3);
  CHECK(refused == 0); // both sides go on: none of it needs the other

  // A session that comes over from the other side waits for what it has seen, and is told whom for.
  shopper moved{cluster.node(2)};
  REQUIRE(moved.put("carts/moved", "1").done());
  moved.move(cluster.node(0));
  const auto in_vain = moved.get("carts/moved?deadline_ms=500");
  CHECK(in_vain.status == 503);
  CHECK(json::parse(in_vain.body)["error"] == "dependency_timeout");
  CHECK(in_vain.body.find("node-3") != std::string::npos);
  // So is a read that may not be too stale.
  const auto stale = shoppers[0].get("pages/home?level=eventual&max_staleness_ms=100&deadline_ms=500");
  CHECK(stale.status == 503);
  CHECK(json::parse(stale.body)["error"] == "too_stale");
  CHECK(stale.body.find("node-3") != std::string::npos);
  const auto explained = run({troupe_binary(), "explain", "carts", "moved", "--admin", cluster.node(0).admin()});
  CAPTURE(explained.output);
  CHECK(explained.exit_code == 0);
  CHECK(explained.output.find("node-3: it does not answer") != std::string::npos);

  CHECK(network.heal());
  CHECK(wait_until([&] { return moved.value("carts/moved") == "1"; }, 20s));
  // Everything that was acknowledged is everywhere, once, and all nodes agree.
  const auto acknowledged = sides[0].views + sides[1].views;
  const auto possible = acknowledged + sides[0].maybe_views + sides[1].maybe_views;
  std::set<std::string> tags = sides[0].tags;
  tags.insert(sides[1].tags.begin(), sides[1].tags.end());
  std::set<std::string> pages;
  for (std::size_t n = 0; n < cluster.size(); ++n) {
    CAPTURE(n);
    shopper s{cluster.node(n)};
    std::string missing;
    const auto complete = [&] {
      missing.clear();
      const auto views = s.value("views/home");
      if (views == "nothing" || std::stoll(views) < acknowledged || std::stoll(views) > possible)
        missing = "views " + views + ", acknowledged " + std::to_string(acknowledged);
      const auto found = s.get("tags/all");
      if (!found.done() || json::parse(found.body)["elements"].get<std::set<std::string>>() != tags)
        missing = "tags " + found.body.substr(0, 100);
      for (const auto& of : sides) {
        const auto name = std::to_string(of.node);
        if (s.value("carts/of-" + name) != std::to_string(of.cart)) missing = "cart of " + name;
        if (s.value("questions/q" + name) != std::to_string(of.question)) missing = "question of " + name;
        if (s.value("questions/a" + name) != std::to_string(of.question)) missing = "answer of " + name;
      }
      return missing.empty();
    };
    const bool all = wait_until(complete, 30s);
    CAPTURE(missing);
    CHECK(all);
    pages.insert(s.value("pages/home"));
  }
  CHECK(pages.size() == 1);
  const auto fresh = shoppers[0].get("pages/home?level=eventual&max_staleness_ms=100");
  CHECK(fresh.done());
  MESSAGE(rounds << " rounds on both sides in " << cut_for().count() << " s; " << acknowledged << " views, "
                 << tags.size() << " tags");
}
