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
    return "latest " + e.latest().key() + " " + text(e.latest().version());
  case v1::Envelope::kAbstain:
    return "abstain " + e.abstain().key();
  case v1::Envelope::kAccept:
    return "accept " + e.accept().key() + " " + text(e.accept().version()) + " in " + text(e.accept().epoch())
           + (e.accept().repairs() != 0 ? " repairs" : "");
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
    return std::string{name_of(e)};
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
