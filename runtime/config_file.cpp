#include "runtime/config_file.hpp"

#include "runtime/faces/alert_webhook.hpp"
#include "runtime/toml_section.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

namespace troupe {

namespace {

constexpr std::int64_t shards_max = 65'536;
constexpr std::int64_t lease_ms_min = 50;
constexpr std::int64_t lease_ms_max = 60'000;
constexpr double drift_max = 0.2;
constexpr std::int64_t members_max = 64;
constexpr std::int64_t deadline_ms_max = 3'600'000;
constexpr double round_trip_ms_max = 60'000;
constexpr std::int64_t resp_connections_max = 1'000'000;
constexpr std::int64_t memory_bytes_least = 65'536;
constexpr std::int64_t memory_bytes_max = std::int64_t{1} << 40;
constexpr std::int64_t stream_log_bytes_least = std::int64_t{256} << 10;
constexpr std::int64_t compare_s_max = 604'800;
constexpr std::size_t type_bytes_max = 64;
constexpr std::int64_t alert_seconds_max = 86'400;
constexpr std::int64_t audit_window_s_max = 3'600;
constexpr std::string_view webhook_allowed = "\"http://host:port/path\", or https";
constexpr std::size_t token_keys_max = 8;
constexpr std::uintmax_t file_bytes_max = 1U << 20U;

constexpr std::string_view node_address_allowed = "\"host:port\" with a port from 1 to 65535";
constexpr std::string_view listen_address_allowed = "\"host:port\" with a port from 0 (any free one) to 65535";

/// "host:port" or "[v6::address]:port".
std::optional<endpoint> endpoint_in(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  auto host = text.substr(0, colon);
  const auto digits = text.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos)
    return std::nullopt;
  std::uint16_t port = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (host.empty() || host.find(' ') != std::string_view::npos) return std::nullopt;
  if (failure != std::errc{} || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  return endpoint{std::string{host}, port};
}

/// Reads one file into one node_config; what is wrong goes to `problems`, and reading goes on.
class config_reader {
public:
  config_reader(const toml::table& root, std::filesystem::path folder, toml_problems& problems)
      : file_(root, "", 1, problems), folder_(std::move(folder)), problems_(problems) {}

  node_config read() {
    if (auto section = file_.section("cluster", presence::required)) read_cluster(*section);
    read_types();
    if (auto section = file_.section("node", presence::required)) read_node(*section);
    if (auto section = file_.section("listen")) read_listen(*section);
    if (auto section = file_.section("resp")) read_resp(*section);
    if (auto section = file_.section("memory")) read_memory(*section);
    if (auto section = file_.section("streams")) read_streams(*section);
    if (auto section = file_.section("log")) read_log(*section);
    if (auto section = file_.section("api")) read_api(*section);
    if (auto section = file_.section("alerts")) read_alerts(*section);
    if (auto section = file_.section("audit")) read_audit(*section);
    if (auto section = file_.section("security")) read_security(*section);
    if (!has_token_keys_) use_key_of_name();
    read_delays();
    file_.finish();
    return std::move(out_);
  }

private:
  void read_cluster(toml_section& in) {
    auto& shape = out_.shape;
    shape.name = in.name("name", presence::required).value_or("");
    if (auto x = in.whole("shards", 1, shards_max)) shape.shards = static_cast<std::uint32_t>(*x);
    if (auto x = in.whole("lease_ms", lease_ms_min, lease_ms_max)) shape.lease = milliseconds{*x};
    if (auto x = in.number("max_clock_drift", 0, drift_max))
      shape.drift_ppm = static_cast<std::uint32_t>(std::lround(*x * 1e6));

    auto nodes = in.sections("nodes", "a list of sections [[cluster.nodes]] with name, id, region, address",
                             presence::required);
    for (auto& node : nodes)
      read_member(node);
    const auto count = static_cast<std::int64_t>(nodes.size());
    if (in.table().contains("nodes") && (count < 1 || count > members_max))
      problems_.add(in.line_of("nodes"), "cluster.nodes has " + std::to_string(count) + " entries; allowed: 1 to "
                                             + std::to_string(members_max));
    shape.replicas = static_cast<std::uint32_t>(std::clamp<std::int64_t>(count, 1, 3));
    if (auto x = in.whole("replicas", 1, std::max<std::int64_t>(count, 1)))
      shape.replicas = static_cast<std::uint32_t>(*x);
    if (shape.replicas % 2 == 0)
      out_.notes.push_back("cluster.replicas is " + std::to_string(shape.replicas)
                           + ": an even number survives no more failures than " + std::to_string(shape.replicas - 1));
    std::sort(shape.members.begin(), shape.members.end(),
              [](const member& a, const member& b) { return a.id < b.id; });
    in.finish();
  }

  void read_member(toml_section& in) {
    member m;
    if (auto x = in.name("name", presence::required)) {
      m.name = *x;
      unique(in, "name", "name " + m.name);
    }
    if (auto x = in.whole("id", 1, std::int64_t{client_node_bit} - 1, presence::required)) {
      m.id = node_id{static_cast<std::uint32_t>(*x)};
      unique(in, "id", "id " + std::to_string(*x));
    }
    m.region = in.name("region", presence::required).value_or("");
    if (auto at = address(in, "address", node_address_allowed, presence::required)) {
      m.host = at->host;
      m.port = at->port;
      if (m.port == 0)
        in.refuse("address", node_address_allowed);
      else
        unique(in, "address", "address " + to_string(*at));
    }
    in.finish();
    out_.shape.members.push_back(std::move(m));
  }

  void read_types() {
    const auto* found = file_.take("types", "one section [types.NAME] for each data type", presence::required);
    if (found == nullptr) return;
    const auto* types = found->as_table();
    if (types == nullptr || types->empty())
      return problems_.refuse(*found, "types", "one section [types.NAME] for each data type");
    for (const auto& [key, node] : *types) {
      const std::string name{key.str()};
      auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
      if (name.empty() || name.size() > type_bytes_max || !std::all_of(name.begin(), name.end(), fits))
        problems_.add(key.source().begin.line,
                      "types.\"" + name + "\" is not a type name; allowed: 1 to 64 of a-z, 0-9 and _");
      if (const auto* table = node.as_table()) {
        toml_section in{*table, "types." + name, toml_line(node), problems_};
        read_type(in, out_.shape.types[name]);
      } else {
        problems_.refuse(node, "types." + name, "a section [types." + name + "]");
      }
    }
  }

  void read_type(toml_section& in, data_type& type) {
    if (auto x = in.one_of("level", {"strong", "causal", "session", "eventual"}, presence::required))
      type.consistency = *level_named(*x);
    const bool strong = type.consistency == level::strong;
    if (auto x = in.one_of("on_timeout", {"unknown", "rollback"})) {
      type.timeout = *x == "rollback" ? on_timeout::rollback : on_timeout::unknown;
      if (!strong) in.refuse("on_timeout", "nothing: it is for types of level strong");
    }
    const auto weaker = [&](std::string_view key) {
      if (strong) in.refuse(key, "nothing: it is for types of level causal, session and eventual");
    };
    if (auto x =
            in.one_of("resolver", {"last_writer_wins", "siblings", "counter", "growing_counter", "set", "map"})) {
      type.resolver = *resolver_named(*x);
      weaker("resolver");
    }
    if (auto x = in.one_of("ack", {"local", "one_remote", "majority"})) {
      type.ack = *ack_named(*x);
      weaker("ack");
    }
    if (auto x = in.one_of("durability", {"sync", "async"})) {
      type.durability = *durability_named(*x);
      weaker("durability");
    }
    in.finish();
  }

  void read_node(toml_section& in) {
    const auto role = in.one_of("role", {"member", "client"});
    const auto name = in.name("name", presence::required);
    out_.name = name.value_or("");
    if (role == "client")
      read_client(in);
    else
      read_own_member(in);
    in.finish();
  }

  void read_client(toml_section& in) {
    out_.region = in.name("region", presence::required).value_or("");
    if (out_.shape.find(out_.name) != nullptr)
      in.refuse("name", "for a client node, a name that is not in cluster.nodes");
    if (in.text("directory", "nothing: a client node keeps no store"))
      in.refuse("directory", "nothing: a client node keeps no store");
  }

  void read_own_member(toml_section& in) {
    if (in.text("region", "nothing: a member's region stands in cluster.nodes"))
      in.refuse("region", "nothing: a member's region stands in cluster.nodes");
    out_.directory = path(in, "directory", "the folder of this node's store", presence::required);
    if (out_.name.empty()) return;
    if (const auto* self = out_.shape.find(out_.name)) {
      out_.self = self->id;
      out_.region = self->region;
      return;
    }
    std::vector<std::string> names;
    for (const auto& m : out_.shape.members)
      names.push_back(m.name);
    std::string allowed = "a name from cluster.nodes (";
    for (const auto& n : names)
      allowed += (&n == &names.front() ? "" : ", ") + n;
    allowed += "), or role = \"client\"";
    if (auto meant = closest_name(out_.name, names); !meant.empty()) allowed += "; did you mean \"" + meant + "\"?";
    in.refuse("name", allowed);
  }

  void read_listen(toml_section& in) {
    out_.resp = address(in, "resp", listen_address_allowed);
    out_.admin = address(in, "admin", listen_address_allowed);
    for (const auto* key : {"resp", "admin"}) {
      const auto& at = std::string_view{key} == "resp" ? out_.resp : out_.admin;
      if (at && at->port != 0) unique(in, key, "address " + to_string(*at));
    }
    in.finish();
  }

  void read_resp(toml_section& in) {
    if (auto x = in.whole("connections_max", 1, resp_connections_max))
      out_.gateway.connections_max = static_cast<std::size_t>(*x);
    in.finish();
  }

  void read_memory(toml_section& in) {
    if (auto x = in.whole("bytes_max", 0, memory_bytes_max)) {
      if (*x != 0 && *x < memory_bytes_least)
        in.refuse("bytes_max",
                  "0 (none), or " + std::to_string(memory_bytes_least) + " to " + std::to_string(memory_bytes_max));
      out_.memory_bytes_max = static_cast<std::size_t>(*x);
    }
    in.finish();
  }

  void read_streams(toml_section& in) {
    if (auto x = in.whole("log_bytes_max", stream_log_bytes_least, memory_bytes_max))
      out_.stream_log_bytes_max = static_cast<std::size_t>(*x);
    if (auto x = in.whole("compare_s", 0, compare_s_max)) out_.stream_compare_every = std::chrono::seconds{*x};
    in.finish();
  }

  void read_log(toml_section& in) {
    if (auto x = in.one_of("level", {"trace", "debug", "info", "warn", "error", "critical", "off"}))
      out_.log.level = *x;
    out_.log.file = path(in, "file", "the file that the log is appended to");
    in.finish();
  }

  void read_api(toml_section& in) {
    if (auto x = in.whole("deadline_ms", 1, deadline_ms_max)) out_.deadline = milliseconds{*x};
    out_.history_file = path(in, "history_file", "the file that operations are recorded in");
    in.finish();
  }

  void read_alerts(toml_section& in) {
    if (auto x = in.text("webhook", webhook_allowed)) {
      out_.alerts.webhook = *x;
      if (!webhook_address_in(*x)) in.refuse("webhook", webhook_allowed);
    }
    if (auto x = in.whole("fold_s", 1, alert_seconds_max)) out_.alerts.fold = std::chrono::seconds{*x};
    if (auto x = in.whole("resolve_s", 1, alert_seconds_max)) out_.alerts.resolve = std::chrono::seconds{*x};
    out_.alerts.instance = in.name("instance").value_or("");
    in.finish();
  }

  void read_audit(toml_section& in) {
    if (auto x = in.number("sample", 0, 1)) out_.audit.sample = *x;
    if (auto x = in.whole("window_s", 1, audit_window_s_max)) out_.audit.window = std::chrono::seconds{*x};
    out_.audit.directory = path(in, "directory", "the folder for proofs that a promise was broken");
    in.finish();
  }

  void read_security(toml_section& in) {
    constexpr std::string_view allowed = "a list of 1 to 8 texts \"ID:SECRET\", the first of which signs";
    if (const auto* found = in.take("token_keys", allowed)) {
      has_token_keys_ = true;
      out_.token_keys.clear();
      const auto* list = found->as_array();
      if (list == nullptr || list->empty() || list->size() > token_keys_max) {
        in.refuse_unquoted("token_keys", allowed);
      } else {
        for (std::size_t i = 0; i < list->size(); ++i)
          read_token_key(in, i, list->get(i)->value_exact<std::string>());
      }
    }
    in.finish();
  }

  void read_token_key(toml_section& in, std::size_t place, const std::optional<std::string>& text) {
    const auto name = "token_keys[" + std::to_string(place + 1) + "]";
    const auto key = session_token::key_in(text.value_or(""));
    if (!key)
      return problems_.add(in.line_of("token_keys"), in.path_of(name) + " is not a key; allowed: " + key.error());
    for (const auto& other : out_.token_keys)
      if (other.id == key->id)
        problems_.add(in.line_of("token_keys"),
                      in.path_of(name) + " has the id " + std::to_string(key->id) + "; allowed: each id once");
    out_.token_keys.push_back(*key);
  }

  /// Only who has types of a weaker level has use for tokens.
  void use_key_of_name() {
    out_.token_keys = {session_token::key_of_name(out_.shape.name)};
    const auto& types = out_.shape.types;
    if (std::any_of(types.begin(), types.end(), [](const auto& t) { return t.second.consistency != level::strong; }))
      out_.notes.emplace_back(
          "security.token_keys is not there: session tokens are sealed with a key that is derived "
          "from the cluster's name, and are not protected against forgery");
  }

  void read_delays() {
    std::set<std::string> regions{out_.region};
    for (const auto& m : out_.shape.members)
      regions.insert(m.region);
    std::set<std::pair<std::string, std::string>> seen;
    for (auto& in : file_.sections("delays", "a list of sections [[delays]] with regions, round_trip_ms")) {
      constexpr std::string_view allowed = "two names of regions, such as [\"eu\", \"us\"]";
      const auto* found = in.take("regions", allowed, presence::required);
      const auto round_trip = in.number("round_trip_ms", 0, round_trip_ms_max, presence::required);
      in.finish();
      if (found == nullptr || !round_trip) continue;
      const auto* list = found->as_array();
      auto one = list != nullptr && list->size() == 2 ? list->get(0)->value_exact<std::string>() : std::nullopt;
      auto other = one ? list->get(1)->value_exact<std::string>() : std::nullopt;
      if (!one || !other) {
        in.refuse("regions", allowed);
        continue;
      }
      for (const auto& region : {*one, *other})
        if (!regions.contains(region)) {
          std::vector<std::string> known{regions.begin(), regions.end()};
          const auto meant = closest_name(region, known);
          in.refuse("regions", "regions of the cluster's nodes, and \"" + region + "\" is none"
                                   + (meant.empty() ? "" : "; did you mean \"" + meant + "\"?"));
        }
      if (!seen.insert(std::minmax(*one, *other)).second) in.refuse("regions", "each pair of regions once");
      add_delay(*one, *other, *round_trip);
    }
  }

  void add_delay(const std::string& one, const std::string& other, double round_trip_ms) {
    const nanoseconds round_trip{std::llround(round_trip_ms * 1e6)};
    out_.delays.push_back({one, other, round_trip});
    if (round_trip * 4 >= out_.shape.lease)
      out_.notes.push_back("the delay between " + one + " and " + other
                           + " is not below a quarter of cluster.lease_ms ("
                           + std::to_string(out_.shape.lease.count())
                           + "): a home there keeps its lease only with the help of nearer replicas");
  }

  std::optional<endpoint> address(toml_section& in, std::string_view key, std::string_view allowed,
                                  presence p = presence::optional) {
    auto text = in.text(key, allowed, p);
    if (!text) return std::nullopt;
    auto at = endpoint_in(*text);
    if (!at) in.refuse(key, allowed);
    return at;
  }

  std::filesystem::path path(toml_section& in, std::string_view key, std::string_view allowed,
                             presence p = presence::optional) {
    auto text = in.text(key, allowed, p);
    return text ? folder_ / *text : std::filesystem::path{};
  }

  /// @param what  kind and value: "id 1".
  void unique(toml_section& in, std::string_view key, const std::string& what) {
    const auto [first, fresh] = taken_.emplace(what, in.line_of(key));
    if (!fresh) in.refuse(key, what + " once; line " + std::to_string(first->second) + " has it already");
  }

  toml_section file_;
  std::filesystem::path folder_;
  toml_problems& problems_;
  node_config out_;
  bool has_token_keys_ = false;
  std::map<std::string, std::size_t> taken_; ///< "id 1" -> the line that took it
};

} // namespace

std::string to_string(const endpoint& at) {
  const auto host = at.host.find(':') == std::string::npos ? at.host : "[" + at.host + "]";
  return host + ":" + std::to_string(at.port);
}

tl::expected<node_config, config_problems> parse_config(std::string_view text, std::string_view name,
                                                        const std::filesystem::path& folder) {
  toml_problems problems{std::string{name}};
  try {
    const auto root = toml::parse(text, name);
    auto config = config_reader{root, folder, problems}.read();
    if (problems.lines().empty()) return config;
  } catch (const toml::parse_error& e) {
    problems.add(e.source().begin.line, "not TOML: " + std::string{e.description()});
  }
  return tl::unexpected{problems.lines()};
}

tl::expected<node_config, config_problems> read_config(const std::filesystem::path& file) {
  auto refused = [&](const std::string& why) {
    return tl::unexpected{config_problems{file.string() + ":1: " + why}};
  };
  std::error_code failure;
  if (std::filesystem::is_directory(file, failure)) return refused("cannot be read: it is a folder");
  std::ifstream in{file, std::ios::binary};
  if (!in) return refused("cannot be read; allowed: an existing configuration file");
  std::string text(file_bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (in.bad()) return refused("cannot be read: the disk refuses");
  if (text.size() > file_bytes_max) return refused("is larger than 1 MiB");
  auto config = parse_config(text, file.string(), file.parent_path());
  if (config) config->file = file;
  return config;
}

} // namespace troupe
