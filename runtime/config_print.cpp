#include "runtime/config_file.hpp"

#include <sstream>

namespace troupe {

namespace {

std::string in_quotes(std::string_view text) {
  constexpr std::string_view hex = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += std::string{'\\', c};
    else if (byte < 0x20 || byte == 0x7F)
      out += std::string{"\\u00"} + hex[byte >> 4U] + hex[byte & 15U];
    else
      out += c;
  }
  return out + '"';
}

void print_cluster(std::ostream& out, const cluster& shape) {
  out << "# The same on every node of the cluster; nodes whose values differ refuse each other.\n"
      << "[cluster]\n"
      << "name = " << in_quotes(shape.name) << "\n"
      << "shards = " << shape.shards << "              # 1 to 65536; keys are spread over them\n"
      << "replicas = " << shape.replicas << "              # of each shard; an odd number\n"
      << "lease_ms = " << shape.lease.count() << "            # 50 to 60000; more than four round trips\n"
      << "max_clock_drift = " << static_cast<double>(shape.drift_ppm) / 1e6
      << "    # of two nodes' clocks over one lease; 0 to 0.2\n\n";
  for (const auto& m : shape.members)
    out << "[[cluster.nodes]]\n"
        << "name = " << in_quotes(m.name) << "\n"
        << "id = " << m.id.value << "\n"
        << "region = " << in_quotes(m.region) << "\n"
        << "address = " << in_quotes(to_string(endpoint{m.host, m.port})) << "\n\n";
  out << "# What a read may return, by type of data: \"strong\", \"causal\", \"session\" or \"eventual\".\n"
      << "# on_timeout: a strong write that no majority answers in time is \"unknown\", or undone by a "
         "\"rollback\".\n"
      << "# resolver, ack, durability: of the weaker levels; what concurrent writes become, and who has a write "
         "before it "
         "is answered.\n";
  for (const auto& [name, type] : shape.types) {
    out << "[types." << name << "]\n"
        << "level = " << in_quotes(name_of(type.consistency)) << "\n";
    if (type.consistency == level::strong)
      out << "on_timeout = " << (type.timeout == on_timeout::rollback ? "\"rollback\"" : "\"unknown\"") << "\n\n";
    else
      out << "resolver = " << in_quotes(name_of(type.resolver)) << "\n"
          << "ack = " << in_quotes(name_of(type.ack)) << "\n"
          << "durability = " << in_quotes(name_of(type.durability)) << "\n\n";
  }
}

} // namespace

std::string print_config(const node_config& config) {
  std::ostringstream out;
  print_cluster(out, config.shape);
  out << "# This node.\n[node]\nname = " << in_quotes(config.name) << "\n";
  if (config.is_client())
    out << "role = \"client\"    # no store, no vote\nregion = " << in_quotes(config.region) << "\n";
  else
    out << "directory = " << in_quotes(config.directory.string()) << "\n";
  if (config.resp || config.admin) {
    out << "\n[listen]\n";
    if (config.resp) out << "resp = " << in_quotes(to_string(*config.resp)) << "     # for Redis clients\n";
    if (config.admin)
      out << "admin = " << in_quotes(to_string(*config.admin)) << "    # HTTP: status, metrics, health\n";
  }
  if (config.resp)
    out << "\n[resp]\nconnections_max = " << config.gateway.connections_max << "    # Redis clients at a time\n";
  out << "\n[memory]\nbytes_max = " << config.memory_bytes_max
      << "    # of copies that answer strong reads here; 0 = none, every read asks its home\n";
  if (!config.is_client())
    out << "\n[streams]\nlog_bytes_max = " << config.stream_log_bytes_max
        << "    # of own updates, per life and lane, for nodes that lag behind; what is older they copy as records\n"
        << "compare_s = " << config.stream_compare_every.count()
        << "    # all records are read, and compared with another replica's, once in this; 0 = never\n";
  out << "\n[log]\nlevel = " << in_quotes(config.log.level)
      << "    # trace, debug, info, warn, error, critical, off\n";
  if (!config.log.file.empty()) out << "file = " << in_quotes(config.log.file.string()) << "\n";
  out << "\n[api]\ndeadline_ms = " << config.deadline.count() << "    # of an operation that names none\n";
  if (!config.history_file.empty()) out << "history_file = " << in_quotes(config.history_file.string()) << "\n";
  out << "\n# Alerts go to the log, and as Alertmanager's webhook does to a URL: webhook = "
         "\"http://host:port/path\".\n"
      << "[alerts]\nfold_s = " << config.alerts.fold.count()
      << "         # the same one is repeated at most once in\n"
      << "resolve_s = " << config.alerts.resolve.count() << "      # without another event, after which it is over\n";
  if (!config.alerts.webhook.empty()) out << "webhook = " << in_quotes(config.alerts.webhook) << "\n";
  if (!config.alerts.instance.empty())
    out << "instance = " << in_quotes(config.alerts.instance) << "    # a label of every alert\n";
  out << "\n# Holds what clients of this node are answered against what was promised, while it runs.\n"
      << "[audit]\nsample = " << config.audit.sample << "         # of keys and sessions; 0 = none, 1 = all\n"
      << "window_s = " << config.audit.window.count() << "      # 1 to 3600; judged together\n";
  if (!config.audit.directory.empty())
    out << "directory = " << in_quotes(config.audit.directory.string()) << "    # of proofs, for troupe check\n";
  if (config.token_keys.front().id != 0) {
    out << "\n# The same on every node, and a secret: who has it can forge session tokens. The first signs, all "
           "verify.\n"
        << "[security]\ntoken_keys = [";
    for (const auto& key : config.token_keys)
      out << (&key == &config.token_keys.front() ? "" : ", ") << in_quotes(to_string(key));
    out << "]\n";
  }
  for (const auto& delay : config.delays)
    out << "\n# For demonstrations and tests: what the links add.\n"
        << "[[delays]]\nregions = [" << in_quotes(delay.one) << ", " << in_quotes(delay.other) << "]\n"
        << "round_trip_ms = " << static_cast<double>(delay.round_trip.count()) / 1e6 << "\n";
  return out.str();
}

node_config example_config(std::string_view self) {
  node_config config;
  config.shape.name = "demo";
  config.shape.members = {{node_id{1}, "eu-1", "eu", "127.0.0.1", 7411},
                          {node_id{2}, "us-1", "us", "127.0.0.1", 7412},
                          {node_id{3}, "ap-1", "ap", "127.0.0.1", 7413}};
  config.shape.types = {{"inventory", {level::strong, on_timeout::unknown}},
                        {"orders", {level::strong, on_timeout::rollback}}};
  config.token_keys = {session_token::key_of_name(config.shape.name)};
  config.name = self;
  config.region = config.shape.members.front().region;
  if (const auto* m = config.shape.find(self)) {
    config.self = m->id;
    config.region = m->region;
    config.directory = std::string{self} + ".data";
    config.resp = endpoint{"127.0.0.1", static_cast<std::uint16_t>(7400 + m->id.value)};
    config.admin = endpoint{"127.0.0.1", static_cast<std::uint16_t>(7480 + m->id.value)};
  }
  return config;
}

} // namespace troupe
