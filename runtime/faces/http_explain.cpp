#include "runtime/faces/http_explain.hpp"

#include "protocol/limits.hpp"
#include "runtime/faces/http_query.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

tl::expected<explain_request, answer> interpret_explain(const cluster& shape, std::string_view target,
                                                        instant until) {
  auto parts = split_target(target, explain_prefix, "a key is explained at /v1/explain/TYPE/KEY");
  if (!parts) return tl::unexpected{failure(errc::invalid_argument, parts.error())};
  if (!parts->query.empty()) return tl::unexpected{failure(errc::invalid_argument, "there are no parameters here")};
  if (!shape.types.contains(parts->type))
    return tl::unexpected{failure(errc::unknown_type, "there are: " + type_names(shape))};
  auto key = stored_key(parts->type, parts->name);
  if (key.size() > limits::key_bytes_max)
    return tl::unexpected{failure(errc::key_too_long, "a key has at most " + std::to_string(limits::key_bytes_max)
                                                          + " bytes, with its type")};
  const auto shard = shard_of(key, shape.shards);
  return explain_request{shard, std::move(key), until};
}

answer explained(const cluster& shape, const explain_request& asked, const explanation& found) {
  using json = nlohmann::ordered_json;
  const auto type = asked.key.substr(0, asked.key.find(':'));
  json out{{"key", asked.key}, {"level", name_of(shape.types.at(type).consistency)}, {"shard", asked.shard.value}};
  out["replicas"] = json::array();
  for (const auto node : replica_set(shape, asked.shard))
    out["replicas"].push_back(shape.find(node)->name);
  out["nodes"] = json::array();
  for (const auto& node : found.nodes) {
    const auto* const member = shape.find(node.who);
    json views = json::array();
    for (const auto& view : node.views)
      views.push_back({{"layer", view.layer()},
                       {"version", view.version()},
                       {"state", view.state()},
                       {"waits_for", view.waits_for()}});
    out["nodes"].push_back({{"node", member == nullptr ? "this client node" : member->name},
                            {"region", member == nullptr ? "" : member->region},
                            {"answered", node.answered},
                            {"views", std::move(views)}});
  }
  return {200, out.dump(-1, ' ', false, json::error_handler_t::replace), "application/json", ""};
}

} // namespace troupe::http
