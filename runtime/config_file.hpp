/// The configuration of one node: read from TOML, checked as a whole, printed as TOML.
#pragma once

#include "protocol/cluster.hpp"
#include "protocol/ids.hpp"
#include "protocol/limits.hpp"
#include "protocol/session/token.hpp"
#include "runtime/token_seal.hpp"

#include <tl/expected.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

class memory_table;
class resolver_registry;

/// An address to listen at.
struct endpoint {
  std::string host;
  std::uint16_t port = 0; ///< 0 = any free one
  friend bool operator==(const endpoint&, const endpoint&) = default;
};
std::string to_string(const endpoint& at);

/// Delay between the nodes of two regions (or of one, when both are the same), added by the links.
struct region_delay {
  std::string one;
  std::string other;
  nanoseconds round_trip{0}; ///< half of it each way
};

/// Of the door for Redis clients.
struct resp_settings {
  std::size_t connections_max = 10'000; ///< at a time; fewer where the process may not open so many descriptors
};

struct log_settings {
  std::string level = "info";
  std::filesystem::path file; ///< empty = standard error
};

/// When people are told that a promise was broken, or nearly; the log is always told.
struct alert_settings {
  std::string webhook; ///< URL of an Alertmanager-compatible receiver; empty = none
  std::chrono::seconds fold{300};
  std::chrono::seconds resolve{300};
  std::string instance; ///< a label of every alert; empty = none
};

/// Which part of the operations of this node's clients is held against what was promised, while it runs.
struct audit_settings {
  double sample = 0; ///< of keys and sessions; 0 = no audit
  std::chrono::seconds window{10};
  std::filesystem::path directory; ///< of proofs that a promise was broken; empty = they are only logged
};

/// Everything that a node is told from outside. Valid as read_config and parse_config return it.
struct node_config {
  std::filesystem::path file; ///< where it was read; empty = a text
  cluster shape;
  node_id self; ///< 0 = a client node: not in the list; it draws an id at each start
  std::string name;
  std::string region;
  std::filesystem::path directory;                                     ///< of the store; empty for a client node
  std::optional<endpoint> resp;                                        ///< where Redis clients connect
  std::optional<endpoint> admin;                                       ///< where the admin HTTP listens
  std::size_t stream_log_bytes_max = limits::stream_own_log_bytes_max; ///< per lane, for peers that lag
  std::chrono::seconds stream_compare_every{3'600};      ///< replicas compare all records once in this; 0 = never
  std::size_t memory_bytes_max = std::size_t{256} << 20; ///< of copies that answer strong reads; 0 = none
  resp_settings gateway;                                 ///< means something with `resp` only
  log_settings log;
  /// What session tokens are sealed with, the same on every node; never empty. Not part of cluster::hash(): nodes
  /// whose keys differ for a while must be able to talk, or no key could be replaced.
  session_token::key_ring token_keys{session_token::key_of_name("")};
  std::vector<region_delay> delays;
  milliseconds deadline{1000};        ///< of an operation that names none
  std::filesystem::path history_file; ///< where operations are recorded; empty = nowhere
  alert_settings alerts;
  audit_settings audit;
  /// Functions of the service, and the types whose concurrent values they merge: type -> id. No file can say this.
  std::shared_ptr<const resolver_registry> merges;
  std::map<std::string, std::string, std::less<>> merged_types;
  std::vector<std::string> notes; ///< what is allowed and yet worth a warning, for people
  /// See node_setup. No file can say this: it is for `troupe bench levels`.
  std::shared_ptr<memory_table> unpromised;

  bool is_client() const { return self.value == 0; }
  token_seal seal() const { return {token_keys, shape.name, region}; }
};

/// One line for each mistake: "FILE:LINE: KEY is FOUND; allowed: …". Never empty.
using config_problems = std::vector<std::string>;

/// Paths in the file that are relative are taken from the file's folder.
tl::expected<node_config, config_problems> read_config(const std::filesystem::path& file);

/// @param name    what problems call the text.
/// @param folder  where relative paths start; empty = the current folder.
tl::expected<node_config, config_problems> parse_config(std::string_view text, std::string_view name,
                                                        const std::filesystem::path& folder = {});

/// The configuration as commented TOML, every default written out; parse_config reads it back.
std::string print_config(const node_config& config);

/// A cluster of three nodes on this machine, seen from the member called `self`; any other name makes it a client
/// node in the first region.
node_config example_config(std::string_view self = "eu-1");

} // namespace troupe
