#include "protocol/view.hpp"

#include "protocol/limits.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace troupe {

std::string to_string(const view& v) {
  auto out = std::to_string(v.number) + ":";
  for (const auto& [node, standing] : v.nodes)
    out += " " + to_string(node) + "." + std::to_string(standing.life) + (standing.out ? "(out)" : "");
  return out;
}

view from_wire(const v1::View& v) {
  view out{.number = v.number(), .nodes = {}};
  for (const auto& m : v.members())
    out.nodes[{m.node()}] = {.life = m.life(), .out = m.out()};
  return out;
}

std::string_view defect_of(const v1::View& v) {
  if (v.number() == 0) return "no number";
  if (v.members().empty()) return "no members";
  if (v.members_size() > limits::view_members_max) return "too many members";
  std::uint32_t last = 0;
  for (const auto& m : v.members()) {
    if (m.node() <= last) return "members out of order";
    if (is_client({m.node()})) return "a client node";
    if (m.life() == 0 && !m.out()) return "a member that never started, and is in";
    if ((m.life() == 0) != (m.nonce() == 0)) return "a life without a nonce, or a nonce without a life";
    last = m.node();
  }
  return {};
}

std::string record_of(const v1::View& v) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream{&bytes};
  google::protobuf::io::CodedOutputStream out{&stream};
  out.SetSerializationDeterministic(true);
  v.SerializeToCodedStream(&out);
  out.Trim();
  return bytes;
}

std::optional<v1::View> view_of(const std::string& record) {
  v1::View v;
  if (!v.ParseFromString(record) || !defect_of(v).empty()) return std::nullopt;
  v.DiscardUnknownFields(); // what this build does not know it could not keep
  if (record_of(v) != record) return std::nullopt;
  return v;
}

} // namespace troupe
