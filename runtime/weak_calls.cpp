#include "runtime/weak_calls.hpp"

#include "protocol/limits.hpp"
#include "protocol/stream/resolver.hpp"
#include "runtime/issuing.hpp"
#include "runtime/snapshot_read.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>

namespace troupe {

namespace {

using std::chrono::microseconds;

constexpr std::uint64_t staleness_us_max = std::numeric_limits<std::int64_t>::max() / 1'000;

error as_error(const session_token::refusal& why) { return error{why.code, why.detail}; }

key_version version_of(const v1::Version& v) { return {v.round(), v.node(), v.incarnation(), v.counter()}; }

std::optional<receipt> receipt_if(const answer_details* details) {
  return details != nullptr && details->asked ? std::optional{receipt_of(*details)} : std::nullopt;
}

/// Concurrent values by stamp, the newest first.
std::vector<std::string> values_of(const answer_details& details) {
  auto items = std::vector<v1::Item>{details.whole.items().begin(), details.whole.items().end()};
  std::stable_sort(items.begin(), items.end(), [](const v1::Item& a, const v1::Item& b) {
    return std::pair{a.clock(), a.node()} > std::pair{b.clock(), b.node()};
  });
  std::vector<std::string> values;
  for (auto& item : items)
    values.push_back(std::move(*item.mutable_value()));
  return values;
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
    auto after = settings.seal().open(request.after.view());
    if (!after) return tl::unexpected{std::move(after.error())};
    *extra.mutable_depends() = std::move(*after->mutable_seen());
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
  // What is too large to be said is no bound either.
  if (const auto age = details.whole.staleness_us(); age <= staleness_us_max)
    out.staleness = microseconds{static_cast<std::int64_t>(age)};
  return out;
}

result<std::optional<found>> merged_value(const std::string& id, const answer_details& details,
                                          const node_config& settings) {
  auto values = values_of(details);
  if (values.empty()) return std::optional<found>{};
  std::reverse(values.begin(), values.end());
  auto merged = settings.merges->fold(id, values);
  if (!merged)
    return tl::unexpected{error{merged.error(), "the merge function \"" + id
                                                    + "\" threw, or made a value of more than "
                                                    + std::to_string(limits::value_bytes_max) + " bytes"}};
  return std::optional{found{std::move(*merged), version_of(details.whole.result().version()), receipt_if(&details)}};
}

result<siblings> siblings_of(const answer_details& details, const node_config& settings) {
  siblings out;
  out.values = values_of(details);
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

namespace {

/// What a get_many has found so far. Answers come on any thread.
struct snapshot_state {
  std::shared_ptr<session_impl> session;
  std::string type;
  std::vector<std::string> keys;
  call_options options;
  instant deadline; ///< of the whole
  std::mutex mutex{};
  snapshot found{};
  std::optional<error> failed{}; ///< the last one

  void read(std::size_t place, const v1::Vector* cut, snapshot_read::answered then,
            const std::shared_ptr<snapshot_state>& self);
};

void snapshot_state::read(std::size_t place, const v1::Vector* cut, snapshot_read::answered then,
                          const std::shared_ptr<snapshot_state>& self) {
  auto for_one = options;
  for_one.deadline = deadline - session->clock().now();
  auto request = request_of(type, keys[place], std::move(for_one));
  request.operation.mutable_get();
  request.weak.view = read_view::snapshot;
  if (cut != nullptr) request.weak.cut = *cut;
  if (!request.weak.details) request.weak.details = std::make_shared<answer_details>();
  auto details = request.weak.details;
  session->issue(std::move(request), [self, place, details, then = std::move(then)](result<v1::Result> answer) {
    auto code = errc::none;
    {
      const std::lock_guard lock{self->mutex};
      if (answer) {
        take(*answer, details.get(), self->found.values[place]);
      } else {
        code = answer.error().code();
        if (!self->failed || code != errc::old_cut) self->failed = std::move(answer.error());
      }
    }
    then(code, details->whole.session());
  });
}

} // namespace

void read_snapshot(std::shared_ptr<session_impl> session, std::string type, std::vector<std::string> keys,
                   call_options options, std::function<void(result<snapshot>)> done) {
  const auto count = keys.size();
  if (count == 0 || count > snapshot_read::keys_max)
    return done(tl::unexpected{error{errc::invalid_argument, std::to_string(count) + " keys; allowed are 1 to "
                                                                 + std::to_string(snapshot_read::keys_max)}});
  if (merges(*session, type))
    return done(tl::unexpected{error{errc::unsupported_operation,
                                     "get_many of " + type + ", whose values a function of the service merges"}});
  const auto deadline = session->clock().now() + options.deadline.value_or(session->settings().deadline);
  const std::shared_ptr<snapshot_state> state{
      new snapshot_state{std::move(session), std::move(type), std::move(keys), std::move(options), deadline}};
  state->found.values.resize(count);
  snapshot_read::run(
      count,
      [state](std::size_t place, const v1::Vector* cut, snapshot_read::answered then) {
        state->read(place, cut, std::move(then), state);
      },
      [state, done = std::move(done)](errc code) {
        if (code == errc::none) return done(std::move(state->found));
        done(tl::unexpected{state->failed.value_or(error{code})});
      });
}

} // namespace troupe
