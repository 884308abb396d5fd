#include "protocol/version_vector.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr auto by_origin = [](const version_vector::entry& e, const origin& from) { return e.from < from; };

} // namespace

version_vector::version_vector(std::initializer_list<entry> entries) {
  for (const auto& e : entries)
    raise(e.from, e.seq);
}

std::uint64_t version_vector::at(const origin& from) const {
  const auto i = std::lower_bound(entries_.begin(), entries_.end(), from, by_origin);
  return i != entries_.end() && i->from == from ? i->seq : 0;
}

bool version_vector::contains(const version_vector& other) const { return !first_missing(*this, other); }

bool version_vector::raise(const origin& from, std::uint64_t seq) {
  if (seq == 0) return false;
  const auto i = std::lower_bound(entries_.begin(), entries_.end(), from, by_origin);
  if (i == entries_.end() || i->from != from) {
    entries_.insert(i, {from, seq});
    return true;
  }
  if (i->seq >= seq) return false;
  i->seq = seq;
  return true;
}

bool version_vector::join(const version_vector& other) {
  bool raised = false;
  for (const auto& e : other.entries_)
    raised |= raise(e.from, e.seq);
  return raised;
}

void version_vector::meet(const version_vector& other) {
  for (auto& e : entries_)
    e.seq = std::min(e.seq, other.at(e.from));
  std::erase_if(entries_, [](const entry& e) { return e.seq == 0; });
}

void version_vector::forget(const version_vector& base) {
  std::erase_if(entries_, [&](const entry& e) { return e.seq <= base.at(e.from); });
}

void version_vector::erase(const origin& from) {
  std::erase_if(entries_, [&](const entry& e) { return e.from == from; });
}

dot first_missing(const version_vector& have, const version_vector& wanted) {
  auto here = have.entries().begin();
  const auto end = have.entries().end();
  for (const auto& e : wanted.entries()) {
    while (here != end && here->from < e.from)
      ++here;
    if (here == end || here->from != e.from || here->seq < e.seq) return {e.from, e.seq};
  }
  return {};
}

std::string to_string(const origin& from) { return to_string(from.node) + "." + std::to_string(from.life); }

std::string to_string(const dot& d) { return to_string(d.from) + ":" + std::to_string(d.seq); }

std::string to_string(const version_vector& v) {
  if (v.empty()) return "-";
  std::string out;
  for (const auto& e : v.entries()) {
    if (!out.empty()) out += " ";
    out += to_string(dot{e.from, e.seq});
  }
  return out;
}

std::string_view name_of(stream_lane lane) { return lane == stream_lane::ordered ? "ordered" : "free"; }

dot from_wire(const v1::OriginSeq& d) { return {{{d.node()}, d.life()}, d.seq()}; }

version_vector from_wire(const v1::Vector& v) {
  version_vector out;
  for (const auto& e : v.entries())
    out.raise(from_wire(e));
  return out;
}

void to_wire(const dot& d, v1::OriginSeq& out) {
  out.set_node(d.from.node.value);
  out.set_life(d.from.life);
  out.set_seq(d.seq);
}

void to_wire(const version_vector& v, v1::Vector& out) {
  out.clear_entries();
  for (const auto& e : v.entries())
    to_wire(dot{e.from, e.seq}, *out.add_entries());
}

} // namespace troupe
