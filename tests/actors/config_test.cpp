/// The configuration: what is accepted, and that every mistake is named with its file, line, key, value and what is
/// allowed.
#include "runtime/config_file.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

using namespace troupe;

namespace {

/// A valid configuration; each test breaks one line of it. Line numbers matter.
const std::string valid = R"([cluster]
name = "shop"
shards = 64
replicas = 3
lease_ms = 400
max_clock_drift = 0.01

[[cluster.nodes]]
name = "eu-1"
id = 1
region = "eu"
address = "127.0.0.1:7411"

[[cluster.nodes]]
name = "us-1"
id = 2
region = "us"
address = "127.0.0.1:7412"

[[cluster.nodes]]
name = "ap-1"
id = 3
region = "ap"
address = "[::1]:7413"

[types.inventory]
level = "strong"
on_timeout = "rollback"

[types.catalog]
level = "eventual"

[node]
name = "us-1"
directory = "us-1.data"

[listen]
resp = "127.0.0.1:7400"
admin = "127.0.0.1:7480"

[log]
level = "debug"
file = "us-1.log"

[api]
deadline_ms = 250
history_file = "us-1.jsonl"

[[delays]]
regions = ["us", "eu"]
round_trip_ms = 12.5
)";

std::string with(std::string_view from, std::string_view to) {
  auto text = valid;
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

/// Without the one about tokens that anybody could make, which has a test of its own.
std::vector<std::string> notes_of(const node_config& config) {
  auto notes = config.notes;
  std::erase_if(notes, [](const auto& n) { return n.starts_with("security.token_keys"); });
  return notes;
}

std::string problems_of(const std::string& text) {
  auto config = parse_config(text, "us-1.toml");
  if (config) return "";
  std::string all;
  for (const auto& line : config.error())
    all += line + "\n";
  return all;
}

struct mistake {
  const char* from;
  const char* to;
  const char* expected; ///< stands in the only line that is reported
};

} // namespace

TEST_CASE("config: a valid file is read to the last key") {
  const auto config = parse_config(valid, "us-1.toml", "/etc/troupe");
  REQUIRE(config);
  CHECK(config->shape.name == "shop");
  CHECK(config->shape.shards == 64);
  CHECK(config->shape.replicas == 3);
  CHECK(config->shape.lease == milliseconds{400});
  CHECK(config->shape.drift_ppm == 10'000);
  REQUIRE(config->shape.members.size() == 3);
  CHECK(config->shape.members[2].host == "::1");
  CHECK(config->shape.members[2].port == 7413);
  CHECK(config->shape.types.at("inventory") == data_type{level::strong, on_timeout::rollback});
  CHECK(config->shape.types.at("catalog") == data_type{level::eventual, on_timeout::unknown});
  CHECK(config->self == node_id{2});
  CHECK(config->region == "us");
  CHECK(config->directory == "/etc/troupe/us-1.data");
  CHECK(config->resp == endpoint{"127.0.0.1", 7400});
  CHECK(config->admin == endpoint{"127.0.0.1", 7480});
  CHECK(config->log.level == "debug");
  CHECK(config->log.file == "/etc/troupe/us-1.log");
  CHECK(config->deadline == milliseconds{250});
  CHECK(config->history_file == "/etc/troupe/us-1.jsonl");
  REQUIRE(config->delays.size() == 1);
  CHECK(config->delays[0].round_trip == std::chrono::microseconds{12'500});
  CHECK(notes_of(*config).empty());
}

TEST_CASE("config: the room for copies is 256 MiB, what the file says, or none") {
  REQUIRE(parse_config(valid, "us-1.toml"));
  CHECK(parse_config(valid, "us-1.toml")->memory_bytes_max == std::size_t{256} << 20);
  for (const std::size_t bytes : {0, 65'536, 1'000'000}) {
    const auto text = with("[log]", "[memory]\nbytes_max = " + std::to_string(bytes) + "\n[log]");
    const auto config = parse_config(text, "us-1.toml");
    REQUIRE(config);
    CHECK(config->memory_bytes_max == bytes);
    CHECK(parse_config(print_config(*config), "printed")->memory_bytes_max == bytes);
  }
}

TEST_CASE("config: replicas compare their records once an hour, or as often as the file says, or never") {
  CHECK(parse_config(valid, "us-1.toml")->stream_compare_every == std::chrono::hours{1});
  for (const auto seconds : {0, 7}) {
    const auto text = "[streams]\ncompare_s = " + std::to_string(seconds) + "\n[log]";
    const auto config = parse_config(with("[log]", text), "us-1.toml");
    REQUIRE(config);
    CHECK(config->stream_compare_every == std::chrono::seconds{seconds});
    CHECK(parse_config(print_config(*config), "printed")->stream_compare_every == std::chrono::seconds{seconds});
  }
}

TEST_CASE("config: a node keeps 1 GiB of its own updates for nodes that lag behind, or what the file says") {
  REQUIRE(parse_config(valid, "us-1.toml"));
  CHECK(parse_config(valid, "us-1.toml")->stream_log_bytes_max == std::size_t{1} << 30);
  const auto config = parse_config(with("[log]", "[streams]\nlog_bytes_max = 262144\n[log]"), "us-1.toml");
  REQUIRE(config);
  CHECK(config->stream_log_bytes_max == 262'144);
  CHECK(parse_config(print_config(*config), "printed")->stream_log_bytes_max == 262'144);
}

TEST_CASE("config: alerts go nowhere but to the log, and nothing is audited, unless the file says so") {
  const auto usual = parse_config(valid, "us-1.toml");
  REQUIRE(usual);
  CHECK(usual->alerts.webhook.empty());
  CHECK(usual->alerts.fold == std::chrono::minutes{5});
  CHECK(usual->audit.sample == 0);
  const auto config = parse_config(with("[log]", R"([alerts]
webhook = "http://127.0.0.1:9093/hook"
fold_s = 60
resolve_s = 120
instance = "blue"

[audit]
sample = 0.25
window_s = 5
directory = "proofs"

[log])"),
                                   "us-1.toml", "/etc/troupe");
  if (!config) FAIL(config.error().front());
  CHECK(config->alerts.webhook == "http://127.0.0.1:9093/hook");
  CHECK(config->alerts.fold == std::chrono::seconds{60});
  CHECK(config->alerts.resolve == std::chrono::seconds{120});
  CHECK(config->alerts.instance == "blue");
  CHECK(config->audit.sample == 0.25);
  CHECK(config->audit.window == std::chrono::seconds{5});
  CHECK(config->audit.directory == "/etc/troupe/proofs");
}

TEST_CASE("config: every rule names file, line, key, value and what is allowed") {
  const mistake mistakes[] = {
      {"name = \"shop\"", "name = \"my shop\"",
       "us-1.toml:2: cluster.name is 'my shop'; allowed: a name of 1 to 64 letters, digits, '.', '_' and '-'"},
      {"name = \"shop\"", "", "us-1.toml:1: cluster.name is missing; allowed: a name of 1 to 64 letters"},
      {"shards = 64", "shards = 0", "us-1.toml:3: cluster.shards is 0; allowed: a whole number from 1 to 65536"},
      {"shards = 64", "shards = 65537", "us-1.toml:3: cluster.shards is 65537; allowed"},
      {"shards = 64", "shards = \"64\"", "us-1.toml:3: cluster.shards is '64'; allowed: a whole number"},
      {"shards = 64", "shards = 64.0", "us-1.toml:3: cluster.shards is 64.0; allowed: a whole number"},
      {"replicas = 3", "replicas = 4", "us-1.toml:4: cluster.replicas is 4; allowed: a whole number from 1 to 3"},
      {"[log]", "[streams]\nlog_bytes_max = 1000\n[log]",
       "streams.log_bytes_max is 1000; allowed: a whole number from 262144 to 1099511627776"},
      {"[log]", "[streams]\ncompare_s = 604801\n[log]",
       "streams.compare_s is 604801; allowed: a whole number from 0 to 604800"},
      {"[log]", "[memory]\nbytes_max = 4096\n[log]",
       "memory.bytes_max is 4096; allowed: 0 (none), or 65536 to 1099511627776"},
      {"[log]", "[memory]\nbytes_max = -1\n[log]", "memory.bytes_max is -1; allowed"},
      {"[log]", "[alerts]\nwebhook = \"host:9093\"\n[log]",
       "alerts.webhook is 'host:9093'; allowed: \"http://host:port/path\", or https"},
      {"[log]", "[alerts]\nwebhook = \"http://\"\n[log]", "alerts.webhook is 'http://'; allowed"},
      {"[log]", "[alerts]\nwebhook = \"http://host:0/\"\n[log]", "alerts.webhook is 'http://host:0/'; allowed"},
      {"[log]", "[alerts]\nwebhook = \"http://ho st/\"\n[log]", "alerts.webhook is 'http://ho st/'; allowed"},
      {"[log]", "[alerts]\nfold_s = 0\n[log]", "alerts.fold_s is 0; allowed: a whole number from 1 to 86400"},
      {"[log]", "[alerts]\nresolve_s = 86401\n[log]", "alerts.resolve_s is 86401; allowed"},
      {"[log]", "[alerts]\ninstance = \"a b\"\n[log]", "alerts.instance is 'a b'; allowed: a name"},
      {"[log]", "[alerts]\nfold = 1\n[log]", "alerts.fold is not a key of [alerts]; did you mean \"fold_s\"?"},
      {"[log]", "[audit]\nsample = 1.5\n[log]", "audit.sample is 1.5; allowed: a number from 0 to 1"},
      {"[log]", "[audit]\nwindow_s = 0\n[log]", "audit.window_s is 0; allowed: a whole number from 1 to 3600"},
      {"lease_ms = 400", "lease_ms = 49", "us-1.toml:5: cluster.lease_ms is 49; allowed: a whole number from 50 to"},
      {"lease_ms = 400", "lease_ms = 60001", "us-1.toml:5: cluster.lease_ms is 60001; allowed"},
      {"drift = 0.01", "drift = 0.21",
       "us-1.toml:6: cluster.max_clock_drift is 0.21; allowed: a number from 0 to 0.2"},
      {"drift = 0.01", "drift = nan", "us-1.toml:6: cluster.max_clock_drift is nan; allowed"},
      {"drift = 0.01", "drift = -1", "us-1.toml:6: cluster.max_clock_drift is -1; allowed"},
      {"shards = 64", "shard = 64", "us-1.toml:3: cluster.shard is not a key of [cluster]; did you mean \"shards\"?"},
      {"shards = 64", "colour = 1", "us-1.toml:3: cluster.colour is not a key of [cluster]; allowed: name, shards,"},
      {"name = \"ap-1\"", "name = \"eu-1\"",
       "us-1.toml:21: cluster.nodes[3].name is 'eu-1'; allowed: name eu-1 once; line 9 has it already"},
      {"id = 3", "id = 1", "us-1.toml:22: cluster.nodes[3].id is 1; allowed: id 1 once; line 10 has it already"},
      {"id = 3", "id = 0", "us-1.toml:22: cluster.nodes[3].id is 0; allowed: a whole number from 1 to 2147483647"},
      {"id = 3", "id = 2147483648", "us-1.toml:22: cluster.nodes[3].id is 2147483648; allowed"},
      {"id = 3", "ident = 3", "us-1.toml:20: cluster.nodes[3].id is missing"},
      {"[::1]:7413", "127.0.0.1:7411",
       "us-1.toml:24: cluster.nodes[3].address is '127.0.0.1:7411'; allowed: address 127.0.0.1:7411 once; line 12"},
      {"[::1]:7413", "127.0.0.1", "us-1.toml:24: cluster.nodes[3].address is '127.0.0.1'; allowed: \"host:port\""},
      {"[::1]:7413", "127.0.0.1:0", "us-1.toml:24: cluster.nodes[3].address is '127.0.0.1:0'; allowed"},
      {"[::1]:7413", "::1:7413", "us-1.toml:24: cluster.nodes[3].address is '::1:7413'; allowed"},
      {"[::1]:7413", "host:65536", "us-1.toml:24: cluster.nodes[3].address is 'host:65536'; allowed"},
      {"region = \"ap\"", "", "us-1.toml:20: cluster.nodes[3].region is missing"},
      {"level = \"strong\"", "level = \"stong\"",
       "us-1.toml:27: types.inventory.level is 'stong'; allowed: \"strong\", \"causal\", \"session\", \"eventual\" "
       "(did "
       "you mean \"strong\"?)"},
      {"\"rollback\"", "\"ignore\"", "us-1.toml:28: types.inventory.on_timeout is 'ignore'; allowed: \"unknown\""},
      {"types.catalog", "types.\"a:b\"", "us-1.toml:30: types.\"a:b\" is not a type name; allowed: 1 to 64 of a-z"},
      {"types.catalog", "types.Catalog", "us-1.toml:30: types.\"Catalog\" is not a type name"},
      {"name = \"us-1\"\ndirectory", "name = \"us-2\"\ndirectory",
       "us-1.toml:34: node.name is 'us-2'; allowed: a name from cluster.nodes (eu-1, us-1, ap-1), or role = "
       "\"client\"; "
       "did you mean \"us-1\"?"},
      {"directory = \"us-1.data\"", "",
       "us-1.toml:33: node.directory is missing; allowed: the folder of this node's"},
      {"directory = \"us-1.data\"", "directory = \"x\"\nregion = \"us\"",
       "us-1.toml:36: node.region is 'us'; allowed: nothing"},
      {"directory = \"us-1.data\"", "directory = \"x\"\nrole = \"boss\"",
       "us-1.toml:36: node.role is 'boss'; allowed: \"member\""},
      {"directory = \"us-1.data\"", "role = \"client\"\nregion = \"us\"",
       "us-1.toml:34: node.name is 'us-1'; allowed: for a client node"},
      {"7480", "7400",
       "us-1.toml:39: listen.admin is '127.0.0.1:7400'; allowed: address 127.0.0.1:7400 once; line 38"},
      {"7480", "7412",
       "us-1.toml:39: listen.admin is '127.0.0.1:7412'; allowed: address 127.0.0.1:7412 once; line 18"},
      {"\"127.0.0.1:7480\"", "7480", "us-1.toml:39: listen.admin is 7480; allowed: \"host:port\" with a port from 0"},
      {"\"debug\"", "\"loud\"", "us-1.toml:42: log.level is 'loud'; allowed: \"trace\", \"debug\""},
      {"deadline_ms = 250", "deadline_ms = 0",
       "us-1.toml:46: api.deadline_ms is 0; allowed: a whole number from 1 to"},
      {"[\"us\", \"eu\"]", "[\"us\", \"mars\"]",
       "us-1.toml:50: delays[1].regions is [ 'us', 'mars' ]; allowed: regions of"},
      {"[\"us\", \"eu\"]", "[\"us\"]", "us-1.toml:50: delays[1].regions is [ 'us' ]; allowed: two names of regions"},
      {"[\"us\", \"eu\"]", "\"us\"", "us-1.toml:50: delays[1].regions is 'us'; allowed: two names of regions"},
      {"= 12.5", "= -1", "us-1.toml:51: delays[1].round_trip_ms is -1; allowed: a number from 0 to 60000"},
      {"[api]", "[apy]", "us-1.toml:45: apy is not a key of a configuration; did you mean \"api\"?"},
      {"[[delays]]", "[delays]", "us-1.toml:49: delays is a table; allowed: a list of sections [[delays]]"},
      {"shards = 64", "shards = ", "us-1.toml:3: not TOML: "},
  };
  for (const auto& m : mistakes) {
    const auto found = problems_of(with(m.from, m.to));
    CAPTURE(m.to);
    CAPTURE(found);
    CHECK(found.find(m.expected) != std::string::npos);
  }
}

TEST_CASE("config: all mistakes of a file are reported, in one go") {
  auto text = with("shards = 64", "shards = 0");
  text.replace(text.find("lease_ms = 400"), 14, "lease_ms = 1 ");
  text.replace(text.find("\"strong\""), 8, "\"string\"");
  const auto config = parse_config(text, "us-1.toml");
  REQUIRE_FALSE(config);
  CHECK(config.error().size() == 3);
}

TEST_CASE("config: an empty file is told which sections it lacks") {
  const auto found = problems_of("");
  for (const auto* section : {"cluster", "types", "node"})
    CHECK(found.find(std::string{"us-1.toml:1: "} + section + " is missing; allowed: ") != std::string::npos);
}

TEST_CASE("config: an even number of replicas is allowed, with a note") {
  const auto config = parse_config(with("replicas = 3", "replicas = 2"), "us-1.toml");
  REQUIRE(config);
  const auto notes = notes_of(*config);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].find("cluster.replicas is 2") == 0);
}

TEST_CASE("config: a delay that leaves a lease no time is allowed, with a note") {
  const auto config = parse_config(with("= 12.5", "= 100"), "us-1.toml");
  REQUIRE(config);
  const auto notes = notes_of(*config);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].find("the delay between us and eu") == 0);
}

TEST_CASE("config: a client node has a name and a region of its own, and no store") {
  const auto config = parse_config(
      with("name = \"us-1\"\ndirectory = \"us-1.data\"", "role = \"client\"\nname = \"web\"\nregion = \"moon\""),
      "c.toml");
  REQUIRE(config);
  CHECK(config->is_client());
  CHECK(config->region == "moon");
  CHECK(config->directory.empty());
  const auto found = problems_of(
      with("name = \"us-1\"\ndirectory", "role = \"client\"\nname = \"web\"\nregion = \"us\"\ndirectory"));
  CHECK(found.find("us-1.toml:37: node.directory is 'us-1.data'; allowed: nothing") != std::string::npos);
}

TEST_CASE("config: a file that cannot be read is an error that names it") {
  const auto missing = read_config("/nowhere/node.toml");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().front() == "/nowhere/node.toml:1: cannot be read; allowed: an existing configuration file");
  CHECK_FALSE(read_config(std::filesystem::temp_directory_path()));
}

TEST_CASE("config: relative paths of a file start at its folder") {
  const auto folder = std::filesystem::temp_directory_path() / "troupe-config-test";
  std::filesystem::create_directories(folder);
  std::ofstream{folder / "node.toml"} << valid;
  const auto config = read_config(folder / "node.toml");
  REQUIRE(config);
  CHECK(config->directory == folder / "us-1.data");
  std::filesystem::remove_all(folder);
}

TEST_CASE("config: what is printed is read back as the same configuration") {
  for (const auto* self : {"eu-1", "us-1", "ap-1", "web-1"}) {
    auto config = example_config(self);
    config.shape.drift_ppm = 1;
    config.alerts = {"https://[::1]:9093/api/v2/alerts?a=b", std::chrono::seconds{1}, std::chrono::seconds{2},
                     "blue"};
    config.audit = {0.01, std::chrono::seconds{3}, "proofs of eu-1"};
    config.history_file = "odd \"name\"\n\t\\.jsonl";
    config.delays = {{"eu", "us", milliseconds{40}}, {"eu", "eu", std::chrono::microseconds{1500}}};
    config.token_keys = {{7, std::string(32, '\xee')}, {1, std::string(40, 'k')}};
    const auto text = print_config(config);
    CAPTURE(text);
    const auto back = parse_config(text, "printed");
    if (!back) FAIL(back.error().front());
    CHECK(back->shape.hash() == config.shape.hash());
    CHECK(back->shape.members.size() == 3);
    CHECK(back->shape.members[1].port == config.shape.members[1].port);
    CHECK(back->self == config.self);
    CHECK(back->is_client() == (std::string{self} == "web-1"));
    CHECK(back->region == config.region);
    CHECK(back->directory == config.directory);
    CHECK(back->resp == config.resp);
    CHECK(back->admin == config.admin);
    CHECK(back->history_file == config.history_file);
    CHECK(back->alerts.webhook == config.alerts.webhook);
    CHECK(back->alerts.instance == config.alerts.instance);
    CHECK(back->alerts.fold == config.alerts.fold);
    CHECK(back->alerts.resolve == config.alerts.resolve);
    CHECK(back->audit.sample == config.audit.sample);
    CHECK(back->audit.window == config.audit.window);
    CHECK(back->audit.directory == config.audit.directory);
    CHECK(back->token_keys == config.token_keys);
    CHECK(back->delays.size() == 2);
    CHECK(back->delays[1].round_trip == std::chrono::microseconds{1500});
    CHECK(print_config(*back) == text);
  }
}

TEST_CASE("config: token keys are read in order, and a mistake in one shows no secret") {
  const std::string hex(64, 'e');
  const auto keyed = [&](const std::string& list) {
    return parse_config(with("[log]", "[security]\ntoken_keys = " + list + "\n[log]"), "us-1.toml");
  };
  const auto two = keyed("[\"2:" + hex + "\", \"1:" + hex + "ff\"]");
  if (!two) FAIL(two.error().front());
  REQUIRE(two->token_keys.size() == 2);
  CHECK(two->token_keys[0].id == 2);
  CHECK(two->shape.hash() == parse_config(valid, "us-1.toml")->shape.hash()); // or no key could be replaced
  for (const auto& list : {std::string{"[]"}, "\"1:" + hex + "\"", std::string{"[1]"}, "[\"0:" + hex + "\"]",
                           "[\"1:" + hex + "\", \"1:" + hex + "\"]", "[\"1:" + std::string(62, 'e') + "\"]"}) {
    CAPTURE(list);
    const auto refused = keyed(list);
    REQUIRE_FALSE(refused.has_value());
    REQUIRE_FALSE(refused.error().empty());
    CHECK(refused.error().front().find("token_keys") != std::string::npos);
    CHECK(refused.error().front().find("eee") == std::string::npos);
  }
}

TEST_CASE("config: without token keys, who has weaker types is told that tokens can be forged") {
  const auto plain = parse_config(valid, "us-1.toml");
  REQUIRE(plain);
  CHECK(plain->token_keys == session_token::key_ring{session_token::key_of_name(plain->shape.name)});
  const auto weak = parse_config(std::string{valid} + "\n[types.views]\nlevel = \"eventual\"\n", "us-1.toml");
  REQUIRE(weak);
  const auto& notes = weak->notes;
  CHECK(std::any_of(notes.begin(), notes.end(), [](const auto& n) { return n.find("security.token_keys") == 0; }));
}
