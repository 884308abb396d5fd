#include "runtime/operation_audit.hpp"

#include "protocol/wire.hpp"
#include "runtime/history_lines.hpp"
#include "runtime/history_recorder.hpp"

#include <utility>

namespace troupe {

namespace {

std::int64_t nanoseconds_of(instant at) { return at.time_since_epoch().count(); }

/// What an operation of this level can be held against; none = nothing.
std::optional<check::promise> promise_of(level given, const data_type& type) {
  switch (given) {
  case level::strong:
    return check::promise::linearizable;
  case level::causal:
  case level::session:
    // Of every other resolver, what is read need not be what one write wrote.
    if (type.resolver != resolver_kind::last_writer_wins) return std::nullopt;
    return given == level::causal ? check::promise::causal : check::promise::session;
  case level::eventual:
    return std::nullopt;
  }
  return std::nullopt;
}

check::audit_version version_of(const v1::Result& answer) {
  const auto& v = answer.version();
  return {{v.round(), v.node(), v.incarnation(), v.counter()}};
}

void shorten(std::optional<std::string>& text) {
  if (text) text = check::audit_text(std::move(*text));
}

} // namespace

const v1::Operation& operation_audit::a_get() {
  static const v1::Operation get = [] {
    v1::Operation operation;
    operation.mutable_get();
    return operation;
  }();
  return get;
}

std::optional<operation_audit> operation_audit::of(const std::shared_ptr<audit_feed>& feed, const cluster& shape,
                                                   const subject& about, const v1::Operation& operation,
                                                   instant called) {
  if (!feed || !(feed->sample().rate > 0)) return std::nullopt;
  if (!operation.has_get() && !operation.has_put() && !operation.has_remove() && !operation.has_compare_and_set()
      && !operation.has_add())
    return std::nullopt;
  const auto type = shape.types.find(std::string{about.type});
  if (type == shape.types.end()) return std::nullopt;
  const auto held_to = promise_of(about.given, type->second);
  if (!held_to) return std::nullopt;
  const bool sampled = *held_to == check::promise::linearizable
                           ? feed->sample().takes_key(about.key)
                           : about.session != 0 && feed->sample().takes_session(about.session);
  if (!sampled) return std::nullopt;
  auto line = invocation_line(type->second, operation, read_view::value, std::string{about.key});
  if (!line) return std::nullopt;
  operation_audit audit;
  audit.feed_ = feed;
  audit.call_.held_to = *held_to;
  audit.call_.type = about.type;
  audit.call_.line = std::move(*line);
  audit.call_.line.client = std::to_string(about.session);
  audit.call_.line.call = nanoseconds_of(called);
  shorten(audit.call_.line.value);
  shorten(audit.call_.line.old);
  return audit;
}

void operation_audit::end(const v1::Result& answer, instant returned) {
  auto& line = call_.line;
  const auto code = static_cast<errc>(answer.error());
  if (code == errc::none) {
    line.outcome = check::op_outcome::ok;
    complete_line(line, answer, nullptr);
    shorten(line.value);
    call_.at = version_of(answer);
  } else {
    line.outcome = outcome_of(code) == outcome::unknown ? check::op_outcome::unknown : check::op_outcome::fail;
  }
  if (line.outcome != check::op_outcome::unknown) line.returned = nanoseconds_of(returned);
  feed_->end(0, std::move(call_));
}

} // namespace troupe
