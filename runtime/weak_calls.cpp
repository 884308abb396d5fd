#include "runtime/weak_calls.hpp"

#include "runtime/issuing.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace troupe {

namespace {

using std::chrono::microseconds;

constexpr std::uint64_t staleness_not_known = std::numeric_limits<std::uint64_t>::max();

error as_error(const session_token::refusal& why) { return error{why.code, why.detail}; }

std::uint64_t place_of(const node_config& settings) { return session_token::hash_of(settings.region); }

key_version version_of(const v1::Version& v) { return {v.round(), v.node(), v.incarnation(), v.counter()}; }

std::optional<receipt> receipt_if(const answer_details* details) {
  return details != nullptr && details->asked ? std::optional{receipt_of(*details)} : std::nullopt;
}

} // namespace

std::string_view name_of(receipt::source s) {
  switch (s) {
  case receipt::source::memory:
    return "memory";
  case receipt::source::replica:
    return "replica";
  case receipt::source::home:
    return "home";
  }
  return "home";
}

// -- from options to the actor

weak_request weak_request_of(const call_options& options) {
  weak_request out;
  out.at = options.at;
  out.max_staleness = options.max_staleness;
  out.after = options.after;
  out.context = options.context;
  if (options.receipt) {
    out.details = std::make_shared<answer_details>();
    out.details->asked = true;
  }
  return out;
}

bool is_plain(const call_options& options) {
  return !options.at && !options.receipt && !options.max_staleness && options.after.empty()
         && options.context.empty();
}

std::uint32_t bits_of(const session_guarantees& wanted) {
  return (wanted.read_your_writes ? guarantee::read_your_writes : 0)
         | (wanted.monotonic_reads ? guarantee::monotonic_reads : 0)
         | (wanted.monotonic_writes ? guarantee::monotonic_writes : 0)
         | (wanted.writes_follow_reads ? guarantee::writes_follow_reads : 0);
}

call_wishes wishes_of(const weak_request& request, bool fenced) {
  return {.view = request.view,
          .at = request.at,
          .max_staleness = request.max_staleness.has_value(),
          .dependencies = !request.after.empty(),
          .context = !request.context.empty(),
          .fence = fenced};
}

result<void> fill(session_call& message, const weak_request& request, const node_config& settings) {
  auto& extra = message.extra;
  if (request.max_staleness)
    extra.set_staleness_us(static_cast<std::uint64_t>(
        std::max<std::int64_t>(std::chrono::floor<microseconds>(*request.max_staleness).count(), 1)));
  if (request.cut) *extra.mutable_cut() = *request.cut;
  if (!request.after.empty()) {
    const auto after = session_token::open(settings.token_keys, settings.shape.name, request.after.view());
    if (!after) return tl::unexpected{as_error(after.error())};
    if (!after->earlier.empty())
      return tl::unexpected{
          error{errc::dependency_timeout, "the token speaks of earlier lives of a node as a whole"}};
    to_wire(after->seen, *extra.mutable_depends());
    extra.set_explicit_depends(true);
  }
  if (!request.context.empty()) {
    const auto context =
        session_token::open_context(settings.token_keys, settings.shape.name, request.context.view());
    if (!context) return tl::unexpected{as_error(context.error())};
    to_wire(*context, *extra.mutable_context());
  }
  return {};
}

// -- from answers to callers

error error_of(const v1::WeakAnswer& answer, const std::string& key, const cluster& shape) {
  auto detail = key;
  if (const node_id node{answer.waits_for_node()}; node.value != 0) {
    const auto* const who = shape.find(node);
    detail += "; everybody waits for " + (who != nullptr ? who->name : troupe::to_string(node));
    if (const auto what = from_wire(answer.waits_for())) detail += ", which has not got " + to_string(what);
  }
  if (!answer.detail().empty()) detail += "; " + answer.detail();
  return error{static_cast<errc>(answer.result().error()), std::move(detail)};
}

void keep(const v1::WeakAnswer& answer, answer_details& out) {
  out.whole = {};
  *out.whole.mutable_items() = answer.items();
  if (answer.has_context()) *out.whole.mutable_context() = answer.context();
  if (answer.has_session()) *out.whole.mutable_session() = answer.session();
  *out.whole.mutable_result()->mutable_version() = answer.result().version();
  out.whole.set_waited_us(answer.waited_us());
  out.whole.set_staleness_us(answer.staleness_us());
  out.from = receipt::source::replica;
  out.given = static_cast<level>(std::min<std::uint32_t>(answer.level(), static_cast<std::uint32_t>(level::strong)));
}

receipt receipt_of(const answer_details& details) {
  receipt out;
  out.given = details.given;
  out.from = details.from;
  if (details.given == level::strong) {
    out.staleness = nanoseconds{0};
    return out;
  }
  out.written_ms = details.whole.result().version().round() >> 16U;
  out.waited = microseconds{details.whole.waited_us()};
  if (const auto age = details.whole.staleness_us(); age != staleness_not_known)
    out.staleness = microseconds{std::min<std::uint64_t>(age, std::numeric_limits<std::int32_t>::max())};
  return out;
}

result<siblings> siblings_of(const answer_details& details, const node_config& settings) {
  siblings out;
  auto items = std::vector<v1::Item>{details.whole.items().begin(), details.whole.items().end()};
  std::stable_sort(items.begin(), items.end(), [](const v1::Item& a, const v1::Item& b) {
    return std::pair{a.clock(), a.node()} > std::pair{b.clock(), b.node()};
  });
  for (auto& item : items)
    out.values.push_back(std::move(*item.mutable_value()));
  auto context =
      session_token::seal_context(settings.token_keys, settings.shape.name, from_wire(details.whole.context()));
  if (!context) return tl::unexpected{as_error(context.error())};
  out.context = std::move(*context);
  out.receipt = receipt_if(&details);
  return out;
}

result<elements> elements_of(const answer_details& details, const node_config&) {
  elements out;
  for (const auto& item : details.whole.items())
    out.values.push_back(item.field());
  std::sort(out.values.begin(), out.values.end());
  out.values.erase(std::unique(out.values.begin(), out.values.end()), out.values.end());
  out.receipt = receipt_if(&details);
  return out;
}

result<fields> fields_of(const answer_details& details, const node_config&) {
  fields out;
  for (const auto& item : details.whole.items())
    out.values[item.field()] = item.value();
  out.receipt = receipt_if(&details);
  return out;
}

void take(v1::Result& r, const answer_details* details, std::optional<found>& out) {
  if (r.exists()) out = found{std::move(*r.mutable_value()), version_of(r.version()), receipt_if(details)};
}
void take(v1::Result& r, const answer_details* details, written& out) {
  out = {version_of(r.version()), receipt_if(details)};
}
void take(v1::Result& r, const answer_details* details, removed& out) { out = {r.exists(), receipt_if(details)}; }
void take(v1::Result& r, const answer_details* details, added& out) {
  out = {r.applied(), r.number(), version_of(r.version()), receipt_if(details)};
}
void take(v1::Result& r, const answer_details*, swapped& out) {
  out = {r.applied(), version_of(r.version()), std::nullopt, r.value_omitted()};
  if (!r.applied() && r.exists() && !r.value_omitted()) out.current = std::move(*r.mutable_value());
}

// -- snapshots

void snapshot_call::run(std::shared_ptr<session_impl> session, std::string type, std::vector<std::string> keys,
                        call_options options, std::function<void(result<snapshot>)> done) {
  if (keys.empty() || keys.size() > keys_max)
    return done(tl::unexpected{error{errc::invalid_argument, std::to_string(keys.size()) + " keys; allowed are 1 to "
                                                                 + std::to_string(keys_max)}});
  const std::shared_ptr<snapshot_call> call{new snapshot_call};
  call->deadline_ = session->clock().now() + options.deadline.value_or(session->settings().deadline);
  call->session_ = std::move(session);
  call->type_ = std::move(type);
  call->keys_ = std::move(keys);
  call->options_ = std::move(options);
  call->done_ = std::move(done);
  call->begin();
}

void snapshot_call::read(std::size_t i, std::optional<v1::Vector> cut,
                         std::function<void(result<v1::Result>, details_ptr)> then) {
  auto options = options_;
  options.deadline = deadline_ - session_->clock().now();
  auto request = request_of(type_, keys_[i], std::move(options));
  request.operation.mutable_get();
  request.weak.view = read_view::snapshot;
  request.weak.cut = std::move(cut);
  if (!request.weak.details) request.weak.details = std::make_shared<answer_details>();
  auto details = request.weak.details;
  session_->issue(std::move(request),
                  [details, then = std::move(then)](result<v1::Result> answer) { then(std::move(answer), details); });
}

void snapshot_call::begin() {
  ++tries_;
  read(0, std::nullopt, [self = shared_from_this()](const result<v1::Result>& answer, const details_ptr& details) {
    if (!answer) return self->done_(tl::unexpected{answer.error()});
    self->read_all(details->whole);
  });
}

/// The cut: what the region shows, as the replica that answered knows it, and what it was shown with. Both contain
/// the past of all that they contain.
void snapshot_call::read_all(const v1::WeakAnswer& first) {
  auto cut = from_wire(first.session().region());
  cut.join(from_wire(first.session().seen()));
  v1::Vector wire;
  to_wire(cut, wire);
  {
    const std::lock_guard lock{mutex_};
    found_.values.assign(keys_.size(), std::nullopt);
    failed_.reset();
    waiting_ = keys_.size();
  }
  for (std::size_t i = 0; i < keys_.size(); ++i)
    read(i, wire, [self = shared_from_this(), i](result<v1::Result> answer, const details_ptr& details) {
      self->arrived(i, std::move(answer), *details);
    });
}

void snapshot_call::arrived(std::size_t i, result<v1::Result> answer, const answer_details& details) {
  {
    const std::lock_guard lock{mutex_};
    if (answer)
      take(*answer, &details, found_.values[i]);
    else if (!failed_ || failed_->code() == errc::old_cut) // which may be tried again, if nothing else was wrong
      failed_ = std::move(answer.error());
    if (--waiting_ > 0) return;
  }
  all_arrived();
}

void snapshot_call::all_arrived() {
  if (!failed_) return done_(std::move(found_));
  if (failed_->code() != errc::old_cut || tries_ >= tries_max) return done_(tl::unexpected{std::move(*failed_)});
  begin();
}

} // namespace troupe
