/// Renders what the strong cores say as one line a message, so that a test compares a sequence with its literal text.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/error.hpp"

#include <string>
#include <vector>

namespace troupe::script {

inline std::string render(const v1::Result& r) {
  if (r.error() != 0) return std::string{name_of(static_cast<errc>(r.error()))};
  std::string out = r.applied() ? "applied" : "refused";
  if (r.exists()) out += " value=" + r.value();
  if (r.number() != 0) out += " number=" + std::to_string(r.number());
  return out;
}

/// "3.1": the incarnation that counts, and its count.
inline std::string generation_text(std::uint64_t number) {
  return std::to_string(number >> 32) + "." + std::to_string(number & 0xFFFF'FFFFU);
}

/// What a copy says: its version, and its value in quotation marks.
inline std::string render(const v1::Copy& c) {
  auto out = to_string(from_wire(c.version()));
  if (c.withheld()) return out + " withheld";
  return c.exists() ? out + " '" + c.value() + "'" : out + " nothing";
}

/// Messages of read locks; "#4" is the place in the sequence.
inline std::string render_lock(const v1::Envelope& e) {
  auto text = [](const auto& x) { return to_string(from_wire(x)); };
  auto place = [](const auto& m) { return " #" + std::to_string(m.sequence()); };
  switch (e.body_case()) {
  case v1::Envelope::kLockRequest:
    return "lock_request " + e.lock_request().key() + " in " + generation_text(e.lock_request().generation());
  case v1::Envelope::kLockGranted:
    return "lock_granted" + place(e.lock_granted()) + " " + e.lock_granted().key() + " "
           + render(e.lock_granted().copy());
  case v1::Envelope::kLockRefused: {
    const auto& r = e.lock_refused();
    auto out =
        "lock_refused " + (r.error() != 0 ? std::string{name_of(static_cast<errc>(r.error()))} : render(r.copy()));
    if (r.over() != 0) out += " over=" + generation_text(r.over());
    return out + (r.hint() != 0 ? " hint=n" + std::to_string(r.hint()) : "");
  }
  case v1::Envelope::kLockRelease:
    return "lock_release " + (e.lock_release().key().empty() ? "all" : e.lock_release().key()) + " of "
           + text(e.lock_release().generation()) + " after #" + std::to_string(e.lock_release().applied());
  case v1::Envelope::kLeaseRenew: {
    std::string out = "lease_renew";
    for (const auto& held : e.lease_renew().leases())
      out +=
          " " + std::to_string(held.shard()) + ":" + text(held.generation()) + "#" + std::to_string(held.applied());
    return out;
  }
  case v1::Envelope::kLeaseGranted: {
    const auto& g = e.lease_granted();
    return "lease_granted" + place(g) + (g.begins() ? " begins " : " of ") + text(g.generation()) + " for "
           + std::to_string(g.lease_us() / 1000) + " ms";
  }
  case v1::Envelope::kRecall:
    if (e.recall().key().empty()) return "recall" + place(e.recall()) + " all";
    return "recall" + place(e.recall()) + " " + e.recall().key() + " " + render(e.recall().copy());
  case v1::Envelope::kRecalled:
    return "recalled" + place(e.recalled()) + " " + (e.recalled().key().empty() ? "all" : e.recalled().key())
           + (e.recalled().kept() ? " kept" : "");
  case v1::Envelope::kCommitted:
    return "committed" + place(e.committed()) + " " + e.committed().key() + " " + text(e.committed().version());
  default:
    return std::string{name_of(e)};
  }
}

/// "claim 1/n1/1": the name, the key, epochs and versions, and what is said about them. Message numbers are left out.
inline std::string render(const v1::Envelope& e) {
  auto text = [](const auto& x) { return to_string(from_wire(x)); };
  switch (e.body_case()) {
  case v1::Envelope::kClaim:
    return "claim " + text(e.claim().epoch());
  case v1::Envelope::kGranted:
    return "granted " + text(e.granted().epoch());
  case v1::Envelope::kRefused: {
    const auto& r = e.refused();
    if (r.reason() == v1::Refused::PROMISED) return "refused promised=" + text(r.promised());
    return "refused leased home=" + std::to_string(r.home()) + " left_ms=" + std::to_string(r.remaining_ms());
  }
  case v1::Envelope::kReleaseHome:
    return "release " + text(e.release_home().epoch()) + (e.release_home().leaving() ? " leaving" : "");
  case v1::Envelope::kReadLatest:
    return "read " + e.read_latest().key() + " in " + text(e.read_latest().epoch());
  case v1::Envelope::kLatest:
    return "latest " + e.latest().key() + " " + text(e.latest().version())
           + (e.latest().has_evicted() ? " evicted=" + text(e.latest().evicted()) : "");
  case v1::Envelope::kAbstain:
    return "abstain " + e.abstain().key();
  case v1::Envelope::kAccept:
    return "accept " + e.accept().key() + " " + text(e.accept().version()) + " in " + text(e.accept().epoch())
           + (e.accept().repairs() != 0 ? " repairs" : "");
  case v1::Envelope::kCollect:
    return "collect " + e.collect().key() + " " + text(e.collect().version()) + " of " + text(e.collect().ballot())
           + " in " + text(e.collect().epoch());
  case v1::Envelope::kListTombstones:
    return "list_tombstones after '" + e.list_tombstones().after() + "'";
  case v1::Envelope::kTombstones: {
    std::string out = "tombstones";
    for (const auto& key : e.tombstones().keys())
      out += " " + key;
    return out + (e.tombstones().next().empty() ? "" : " next=" + e.tombstones().next())
           + " unripe=" + std::to_string(e.tombstones().unripe());
  }
  case v1::Envelope::kAccepted:
    return "accepted " + e.accepted().key() + " " + text(e.accepted().version());
  case v1::Envelope::kSuperseded:
    return "superseded " + e.superseded().key() + " promised=" + text(e.superseded().promised())
           + " stored=" + text(e.superseded().version());
  case v1::Envelope::kOperation: {
    const auto& o = e.operation();
    return "operation " + text(o.id()) + " attempt=" + std::to_string(o.attempt())
           + (o.unsettled() ? " unsettled" : "");
  }
  case v1::Envelope::kOperationAnswer:
    return "answer " + text(e.operation_answer().id()) + " " + render(e.operation_answer().result());
  case v1::Envelope::kNotHome: {
    const auto& n = e.not_home();
    const char* reason[] = {"unspecified", "no_home", "stale_base", "interrupted"};
    return "not_home " + text(n.id()) + " " + reason[n.reason()]
           + (n.hint() != 0 ? " hint=n" + std::to_string(n.hint()) : "");
  }
  default:
    return render_lock(e);
  }
}

inline std::string render(const send& s) { return to_string(s.to) + ": " + render(s.envelope); }

using lines = std::vector<std::string>;

/// The sends among `effects`, in order.
template <class Effects> lines sends(const Effects& effects) {
  lines out;
  for (const auto& e : effects)
    if (const auto* s = std::get_if<send>(&e)) out.push_back(render(*s));
  return out;
}

inline std::string joined(const lines& all) {
  std::string out;
  for (const auto& l : all)
    out += (out.empty() ? "" : " | ") + l;
  return out;
}

} // namespace troupe::script
