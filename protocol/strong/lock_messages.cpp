#include "protocol/strong/lock_messages.hpp"

#include "protocol/limits.hpp"

namespace troupe {

namespace {

constexpr std::string_view sound;

/// An epoch names the node that leads in it, and only that node speaks for it.
std::string_view flaw_of_sender(node_id from, const v1::Generation& g) {
  if (g.number() == 0) return "no_generation";
  return g.epoch().node() == from.value ? sound : "not_of_its_sender";
}

std::string_view flaw_of_key(const std::string& key) {
  if (key.empty()) return "no_key";
  return key.size() <= limits::key_bytes_max ? sound : "key_too_long";
}

std::string_view flaw_of_copy(const v1::Copy& copy) {
  if (copy.exists() && !from_wire(copy.version())) return "value_without_version";
  if (!copy.value().empty() && (!copy.exists() || copy.withheld())) return "value_of_nothing";
  return copy.value().size() <= limits::value_bytes_max ? sound : "value_too_large";
}

std::string_view first_of(std::string_view a, std::string_view b) { return a.empty() ? b : a; }

std::string_view flaw_of_keyed(node_id from, const v1::Generation& g, const std::string& key) {
  return first_of(flaw_of_sender(from, g), flaw_of_key(key));
}

} // namespace

std::string_view flaw_of(node_id from, const v1::LeaseGranted& granted) {
  return flaw_of_sender(from, granted.generation());
}

std::string_view flaw_of(node_id from, const v1::LockGranted& granted) {
  return first_of(flaw_of_keyed(from, granted.generation(), granted.key()), flaw_of_copy(granted.copy()));
}

std::string_view flaw_of(node_id from, const v1::LargeCopy& large) {
  if (large.copy().withheld()) return "value_withheld";
  return first_of(flaw_of_keyed(from, large.generation(), large.key()), flaw_of_copy(large.copy()));
}

std::string_view flaw_of(node_id from, const v1::Recall& recall) {
  if (recall.key().empty()) return flaw_of_sender(from, recall.generation());
  if (!from_wire(recall.copy().version())) return "no_version";
  return first_of(flaw_of_keyed(from, recall.generation(), recall.key()), flaw_of_copy(recall.copy()));
}

std::string_view flaw_of(node_id from, const v1::Committed& committed) {
  if (!from_wire(committed.version())) return "no_version";
  return flaw_of_keyed(from, committed.generation(), committed.key());
}

std::string_view flaw_of(const v1::LockRefused& refused) {
  if (refused.copy().withheld()) return "value_withheld";
  return flaw_of_copy(refused.copy());
}

std::string_view flaw_of(const v1::LockRequest& request) {
  if (request.number() == 0) return "no_number";
  if (request.generation() == 0) return "no_generation";
  return flaw_of_key(request.key());
}

std::string_view flaw_of(const v1::LockRelease& release) {
  if (release.generation().number() == 0) return "no_generation";
  return release.key().size() <= limits::key_bytes_max ? sound : "key_too_long";
}

std::string_view flaw_of(const v1::GivenBack& given_back) {
  return given_back.generation().number() == 0 ? "no_generation" : sound;
}

std::string_view flaw_of(const v1::HeldLease& held) {
  return held.generation().number() == 0 ? "no_generation" : sound;
}

std::string_view flaw_of(const v1::Recalled& recalled) {
  if (recalled.generation().number() == 0) return "no_generation";
  return recalled.key().size() <= limits::key_bytes_max ? sound : "key_too_long";
}

} // namespace troupe
