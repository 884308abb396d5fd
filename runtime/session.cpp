#include "runtime/runtime_impl.hpp"

#include "actors/layers/read_epochs.hpp"
#include "actors/memory_layer.hpp"
#include "protocol/limits.hpp"
#include "protocol/strong/named_lock.hpp"
#include "runtime/history_lines.hpp"
#include "runtime/issuing.hpp"
#include "runtime/lock_calls.hpp"
#include "runtime/operation_audit.hpp"

#include <caf/send.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace troupe {

namespace {

constexpr nanoseconds deadline_max = std::chrono::hours{1};
/// How much longer than the deadline a caller waits for the answer that the strong manager owes at the deadline.
constexpr nanoseconds answer_grace = std::chrono::seconds{1};

std::int64_t stamp_of(instant at) { return at.time_since_epoch().count(); }

key_version public_version(const version& v) { return {v.era.round, v.era.node.value, v.era.life.value, v.counter}; }

call_request get_request(std::string_view type, std::string_view key, call_options options) {
  auto request = request_of(type, key, std::move(options));
  request.operation.mutable_get();
  return request;
}

call_request put_request(std::string_view type, std::string_view key, std::string value, call_options options) {
  auto request = request_of(type, key, std::move(options));
  request.operation.mutable_put()->set_value(std::move(value));
  return request;
}

call_request remove_request(std::string_view type, std::string_view key, call_options options) {
  auto request = request_of(type, key, std::move(options));
  request.operation.mutable_remove();
  return request;
}

call_request swap_call(std::string_view type, std::string_view key, swap_request what, call_options options) {
  auto request = request_of(type, key, std::move(options));
  auto& swap = *request.operation.mutable_compare_and_set();
  swap.set_expect_absent(!what.expected.has_value());
  if (what.expected) swap.set_expected(std::move(*what.expected));
  swap.set_value(std::move(what.value));
  return request;
}

call_request add_request(std::string_view type, std::string_view key, std::int64_t delta, add_options options) {
  auto request = request_of(type, key,
                            {.deadline = options.deadline,
                             .stop = std::move(options.stop),
                             .under = std::move(options.under),
                             .receipt = options.receipt,
                             .after = std::move(options.after)});
  auto& add = *request.operation.mutable_add();
  add.set_delta(delta);
  add.set_has_floor(options.floor.has_value());
  add.set_floor(options.floor.value_or(0));
  return request;
}

std::size_t value_bytes(const v1::Operation& operation) {
  if (operation.has_put()) return operation.put().value().size();
  if (operation.has_put_field()) return operation.put_field().value().size();
  if (!operation.has_compare_and_set()) return 0;
  return operation.compare_and_set().value().size() + operation.compare_and_set().expected().size();
}

v1::Result as_wire(const result<v1::Result>& outcome) {
  if (outcome) return *outcome;
  v1::Result wire;
  wire.set_error(static_cast<std::uint32_t>(outcome.error().code()));
  return wire;
}

/// Travels with the operation; when the last copy goes without an answer, nobody is left to give one.
class answer_slip {
public:
  explicit answer_slip(std::shared_ptr<issued_call> call) : call_(std::move(call)) {}
  answer_slip(const answer_slip&) = delete;
  answer_slip& operator=(const answer_slip&) = delete;
  ~answer_slip() { call_->settle(tl::unexpected{error{errc::timeout, "the session ended before the answer came"}}); }
  template <class Answer> void answer(const Answer& outcome) { call_->answer(outcome); }

private:
  std::shared_ptr<issued_call> call_;
};

} // namespace

issued_call::issued_call(std::shared_ptr<runtime_impl> owner, subject about, witnesses seen_by,
                         std::shared_ptr<open_operations> open, std::size_t bytes, delivery deliver)
    : owner_(std::move(owner)),
      subject_(std::move(about)),
      recording_(std::move(seen_by.record)),
      audit_(std::move(seen_by.audit)),
      open_(std::move(open)),
      bytes_(bytes),
      deliver_(std::move(deliver)) {}

void issued_call::cancel_with(const std::stop_token& token, session_actor session, std::uint64_t ticket) {
  cancellation_.emplace(token,
                        [session = std::move(session), ticket] { caf::anon_send(session, call_cancelled{ticket}); });
}

void issued_call::answer(const v1::Result& outcome) noexcept {
  if (outcome.error() == 0) return settle(outcome);
  settle(tl::unexpected{error{static_cast<errc>(outcome.error()), subject_.key}});
}

void issued_call::settle(result<v1::Result> outcome) noexcept {
  if (settled_.exchange(true)) return;
  const auto now = owner_->clock().now();
  owner_->meter().count(subject_.type, subject_.what, as_wire(outcome), now - subject_.begun);
  if (audit_) audit_->end(as_wire(outcome), now);
  open_->give_back(subject_.key, bytes_);
  if (recording_) record(outcome);
  {
    const delivery_scope scope;
    std::exchange(deliver_, nullptr)(std::move(outcome));
  }
  owner_->gate().leave();
}

void issued_call::record(const result<v1::Result>& outcome) {
  auto line = std::move(recording_->line);
  const bool is_known = outcome || outcome.error().not_done();
  line.outcome = outcome ? check::op_outcome::ok : is_known ? check::op_outcome::fail : check::op_outcome::unknown;
  if (outcome) complete_line(line, *outcome, details_ ? &details_->whole : nullptr);
  if (is_known) line.returned = stamp_of(owner_->clock().now());
  owner_->history()->end(std::move(line));
  if (is_known && !recording_->alone) recording_->clients->give_back(recording_->client);
}

session_impl::session_impl(std::shared_ptr<runtime_impl> owner, session_id id, session_options options,
                           node_parts parts)
    : owner_(std::move(owner)),
      id_(id),
      options_(std::move(options)),
      clients_(std::make_shared<history_clients>(id.value)),
      memory_(std::move(parts.memory)),
      reads_here_(memory_ && options_.consistency.value_or(level::strong) == level::strong
                  && !(options_.recorded && owner_->history() != nullptr)),
      weak_(parts.copies.table ? std::make_shared<weak_reads>(std::move(parts.copies)) : nullptr),
      actor_(std::move(parts.actor)) {
  if (options_.token.empty()) return;
  if (auto joined = join(options_.token); !joined) refused_ = std::move(joined.error());
}

session_impl::~session_impl() {
  owner_->forget(this);
  retire();
}

void session_impl::retire() {
  const std::lock_guard lock{mutex_};
  if (actor_) caf::anon_send(actor_, close_atom::value);
  actor_ = nullptr;
}

nanoseconds session_impl::patience(std::optional<nanoseconds> deadline) const {
  return std::clamp(deadline.value_or(owner_->settings().deadline), nanoseconds{0}, deadline_max) + answer_grace;
}

std::string session_impl::unique_name() {
  return settings().name + "/" + std::to_string(id_.value) + "/" + std::to_string(++names_);
}

std::optional<error> session_impl::refusal(const call_request& request) const {
  const auto& types = owner_->settings().shape.types;
  const auto type = types.find(std::string{request.type});
  if (type == types.end()) {
    std::string names;
    for (const auto& [name, policy] : types)
      names += (names.empty() ? "" : ", ") + name;
    return error{errc::unknown_type, "\"" + std::string{request.type} + "\"; configured are " + names};
  }
  if (refused_) return refused_;
  auto wishes = wishes_of(request.weak, grant_of(request.under) != nullptr);
  if (const auto& all = options_.consistency; all && (!wishes.at || *all > type->second.consistency)) wishes.at = all;
  if (auto refused = find_refusal(type->first, type->second, request.operation, wishes))
    return error{refused->code, std::move(refused->detail)};
  if (request.key.empty()) return error{errc::key_too_long, "the key is empty"};
  if (const auto size = stored_key(request.type, request.key).size(); size > limits::key_bytes_max)
    return error{errc::key_too_long,
                 std::to_string(size) + " bytes with the type; allowed are " + std::to_string(limits::key_bytes_max)};
  if (const auto size = value_bytes(request.operation); size > limits::value_bytes_max)
    return error{errc::value_too_large,
                 std::to_string(size) + " bytes; allowed are " + std::to_string(limits::value_bytes_max)};
  if (const auto& lock = grant_of(request.under); lock && !lock->has(owner_->clock().now()))
    return error{errc::lock_lost, lock->stored};
  const auto deadline = request.deadline.value_or(owner_->settings().deadline);
  if (deadline <= nanoseconds{0}) return error{errc::expired, "the deadline was not in the future"};
  if (deadline > deadline_max) return error{errc::invalid_argument, "a deadline of more than an hour"};
  if (request.stop.stop_requested()) return error{errc::cancelled, "before it was called"};
  return std::nullopt;
}

std::optional<issued_call::recording> session_impl::start_recording(const call_request& request,
                                                                    const data_type& type) const {
  auto line = invocation_line(type, request.operation, request.weak.view, stored_key(request.type, request.key));
  if (!line) return std::nullopt;
  issued_call::recording record{std::move(*line), clients_->take(), clients_};
  // What need not see what the session has seen is in no order with it.
  record.alone = !request.weak.after.empty()
                 || level_of(type, request.operation, level_asked(type, request.weak.at)) < type.consistency;
  record.line.client = clients_->name_of(record.client);
  return record;
}

/// Who has given up a guarantee, or names his own dependencies, is promised less than his type says.
std::optional<operation_audit> session_impl::start_audit(const call_request& request, const data_type& type,
                                                         std::string_view key, instant called) const {
  const auto& feed = owner_->audit();
  if (!feed) return std::nullopt;
  const auto given = level_of(type, request.operation, level_asked(type, request.weak.at));
  const bool whole = request.weak.view == read_view::value && request.weak.after.empty()
                     && bits_of(options_.guarantees) == bits_of({});
  if (given < type.consistency || (given != level::strong && !whole)) return std::nullopt;
  return operation_audit::of(feed, settings().shape, {request.type, key, given, id_.value}, request.operation,
                             called);
}

session_impl::memory_answer session_impl::read_here(std::string_view type, std::string_view key,
                                                    const call_options& options, std::optional<found>& answer) const {
  if (!reads_here_ || refused_ || delivering() || owner_->gate().closed()) return memory_answer::not_asked;
  // What is not plainly well is left to refusal(): the table knows stored keys only.
  if (options.stop.stop_requested() || grant_of(options.under) || !is_plain(options)) return memory_answer::not_asked;
  if (options.deadline && (*options.deadline <= nanoseconds{0} || *options.deadline > deadline_max))
    return memory_answer::not_asked;
  const auto* const known = owner_->meter().find(type);
  if (known == nullptr || type.size() + 1 + key.size() > limits::key_bytes_max) return memory_answer::not_asked;
  std::array<char, limits::key_bytes_max> text;
  auto* end = std::copy(type.begin(), type.end(), text.begin());
  *end++ = ':';
  end = std::copy(key.begin(), key.end(), end);
  const std::string_view stored{text.data(), static_cast<std::size_t>(end - text.begin())};
  if (open_->has(stored)) return memory_answer::not_asked;

  const auto& feed = owner_->audit();
  const auto called = feed ? owner_->clock().now() : instant{};
  // In its place from the start: moving it there would cost about as much as finding it.
  auto& record = answer.emplace();
  const auto hit = memory_->read(stored, owner_->clock(), record.value);
  if (hit) known->from_memory().count(reader_number());
  if (hit && feed) {
    auto audit = operation_audit::of(feed, settings().shape, {type, stored, level::strong, id_.value},
                                     operation_audit::a_get(), called);
    if (audit) audit->end(result_of_read(hit->at, hit->exists, record.value), owner_->clock().now());
  }
  if (hit && hit->exists)
    record.version = public_version(hit->at);
  else
    answer.reset();
  return hit ? memory_answer::given : memory_answer::missed;
}

std::shared_ptr<issued_call> session_impl::issue(call_request request, issued_call::delivery deliver) {
  auto refuse = [&](error why) {
    deliver(tl::unexpected{std::move(why)});
    return nullptr;
  };
  if (auto why = refusal(request)) return refuse(std::move(*why));
  session_call message;
  if (auto filled = fill(message, request.weak, owner_->settings()); !filled)
    return refuse(std::move(filled.error()));
  if (const auto& lock = grant_of(request.under); lock && !request.operation.has_get()) {
    request.operation.mutable_fence()->set_lock(lock->stored);
    to_wire(lock->token, *request.operation.mutable_fence()->mutable_token());
  }
  // Here, not only in the session's actor: what waits in a mailbox weighs as much.
  const auto bytes = request.operation.ByteSizeLong() + request.type.size() + request.key.size();
  const bool about_lock = is_lock_operation(request.operation.what_case());
  auto key = about_lock ? request.operation.key() : stored_key(request.type, request.key);
  const auto taken = open_->take(key, bytes);
  if (taken == open_operations::taken::no_room) {
    return refuse(error{errc::overloaded, "the session has more than "
                                              + std::to_string(limits::session_operations_max)
                                              + " open operations, or they hold more than "
                                              + std::to_string(limits::session_bytes_max) + " bytes"});
  }
  if (!owner_->gate().enter()) {
    open_->give_back(key, bytes);
    return refuse(error{errc::shutting_down});
  }

  std::unique_lock lock{mutex_};
  auto failed = actor_ ? errc::none : errc::shutting_down;
  const auto& policy = owner_->settings().shape.types.at(std::string{request.type});
  const bool weak = policy.consistency != level::strong;
  auto record = failed == errc::none && options_.recorded && owner_->history() != nullptr && !about_lock
                    ? start_recording(request, policy)
                    : std::nullopt;
  if (record) failed = owner_->history()->begin();
  if (failed != errc::none) {
    lock.unlock();
    if (record) clients_->give_back(record->client);
    owner_->gate().leave();
    open_->give_back(key, bytes);
    return refuse(error{failed, failed == errc::shutting_down ? "" : "the history file"});
  }

  // Read once the client id is taken: the call that gave it back has returned by then.
  const auto now = owner_->clock().now();
  if (record) record->line.call = stamp_of(now);
  auto call = std::make_shared<issued_call>(
      owner_, issued_call::subject{std::string{request.type}, key, request.operation.what_case(), now},
      issued_call::witnesses{std::move(record), start_audit(request, policy, key, now)}, open_, bytes,
      std::move(deliver));
  if (weak && !request.weak.details) request.weak.details = std::make_shared<answer_details>();
  call->look_at(request.weak.details, weak ? weak_ : nullptr);
  // Not inside of another call's own function: one that reads on and on would never come back.
  const bool may_read_here =
      request.operation.has_get() && memory_ && !weak && taken == open_operations::taken::alone;
  if (may_read_here && !delivering() && !request.missed) {
    std::string value;
    if (const auto hit = memory_->read(key, now, value)) {
      lock.unlock();
      if (request.weak.details) request.weak.details->from = receipt::source::memory;
      call->answer(result_of_read(hit->at, hit->exists, std::move(value)));
      return call;
    }
  }
  message.operation = std::move(request.operation);
  message.operation.set_key(std::move(key));
  message.missed = may_read_here && !delivering();
  message.operation.set_roll_back(policy.timeout == on_timeout::rollback);
  message.type = request.type;
  message.deadline = now + request.deadline.value_or(owner_->settings().deadline);
  if (request.stop.stop_possible()) message.ticket = ++tickets_;
  const auto ticket = message.ticket;
  auto slip = std::make_shared<answer_slip>(call);
  if (weak) {
    message.at = level_asked(policy, request.weak.at);
    message.guarantees = bits_of(options_.guarantees);
    message.weak_done = [slip = std::move(slip)](const v1::WeakAnswer& answer) { slip->answer(answer); };
    tell_actor();
  } else {
    message.done = [slip = std::move(slip)](const v1::Result& outcome) { slip->answer(outcome); };
  }
  caf::anon_send(actor_, std::move(message));
  if (ticket != 0) call->cancel_with(request.stop, actor_, ticket); // which comes after it
  return call;
}

// -- the handles
// ------------------------------------------------------------------------------------------------------

std::strong_ordering operator<=>(const key_version& a, const key_version& b) noexcept {
  if (const auto c = a.round_ <=> b.round_; c != 0) return c;
  if (const auto c = a.node_ <=> b.node_; c != 0) return c;
  if (const auto c = a.incarnation_ <=> b.incarnation_; c != 0) return c;
  return a.counter_ <=> b.counter_;
}

std::string to_string(const key_version& v) {
  return std::to_string(v.round_) + "." + std::to_string(v.node_) + "." + std::to_string(v.incarnation_) + "."
         + std::to_string(v.counter_);
}

result<std::optional<found>> session::get(std::string_view type, std::string_view key, call_options options) {
  result<std::optional<found>> answer;
  if (impl_->read_weak_here(type, key, options, *answer)) return answer;
  const auto here = impl_->read_here(type, key, options, *answer);
  if (here == session_impl::memory_answer::given) return answer;
  if (merges(*impl_, type))
    return wait_for<std::optional<found>>(
        *impl_, options.deadline, [&](auto done) { get_merged(*impl_, type, key, options, std::move(done)); });
  auto request = get_request(type, key, options);
  request.missed = here == session_impl::memory_answer::missed;
  answer = wait<std::optional<found>>(*impl_, std::move(request));
  return answer;
}

result<written> session::put(std::string_view type, std::string_view key, std::string value, call_options options) {
  return wait<written>(*impl_, put_request(type, key, std::move(value), options));
}

result<removed> session::remove(std::string_view type, std::string_view key, call_options options) {
  return wait<removed>(*impl_, remove_request(type, key, options));
}

result<swapped> session::compare_and_set(std::string_view type, std::string_view key, swap_request what,
                                         call_options options) {
  return wait<swapped>(*impl_, swap_call(type, key, std::move(what), options));
}

result<added> session::add(std::string_view type, std::string_view key, std::int64_t delta, add_options options) {
  return wait<added>(*impl_, add_request(type, key, delta, options));
}

pending<std::optional<found>> async_session::get(std::string_view type, std::string_view key, call_options options) {
  if (merges(*impl_, type))
    return pending_of<std::optional<found>>(
        [&](auto done) { get_merged(*impl_, type, key, std::move(options), std::move(done)); });
  return issue<std::optional<found>>(*impl_, get_request(type, key, options));
}

void async_session::get(std::string_view type, std::string_view key, on_done<std::optional<found>> done) {
  if (merges(*impl_, type)) return get_merged(*impl_, type, key, std::move(done.options), std::move(done.done));
  issue<std::optional<found>>(*impl_, get_request(type, key, done.options), std::move(done.done));
}

pending<written> async_session::put(std::string_view type, std::string_view key, std::string value,
                                    call_options options) {
  return issue<written>(*impl_, put_request(type, key, std::move(value), options));
}

void async_session::put(std::string_view type, std::string_view key, std::string value, on_done<written> done) {
  issue<written>(*impl_, put_request(type, key, std::move(value), done.options), std::move(done.done));
}

pending<removed> async_session::remove(std::string_view type, std::string_view key, call_options options) {
  return issue<removed>(*impl_, remove_request(type, key, options));
}

void async_session::remove(std::string_view type, std::string_view key, on_done<removed> done) {
  issue<removed>(*impl_, remove_request(type, key, done.options), std::move(done.done));
}

pending<swapped> async_session::compare_and_set(std::string_view type, std::string_view key, swap_request what,
                                                call_options options) {
  return issue<swapped>(*impl_, swap_call(type, key, std::move(what), options));
}

void async_session::compare_and_set(std::string_view type, std::string_view key, swap_request what,
                                    on_done<swapped> done) {
  issue<swapped>(*impl_, swap_call(type, key, std::move(what), done.options), std::move(done.done));
}

pending<added> async_session::add(std::string_view type, std::string_view key, std::int64_t delta,
                                  add_options options) {
  return issue<added>(*impl_, add_request(type, key, delta, options));
}

void async_session::add(std::string_view type, std::string_view key, std::int64_t delta,
                        on_done<added, add_options> done) {
  issue<added>(*impl_, add_request(type, key, delta, done.options), std::move(done.done));
}

// -- named locks
// --------------------------------------------------------------------------------------------------------

namespace {

/// For who waits until there is one.
lock_calls::granted certainly(std::function<void(result<named_lock>)> done) {
  return [done = std::move(done)](result<std::optional<named_lock>> lock) {
    if (!lock) return done(tl::unexpected{std::move(lock.error())});
    if (!*lock) return done(tl::unexpected{error{errc::internal, "no lock where one was waited for"}});
    done(std::move(**lock));
  };
}

} // namespace

result<named_lock> session::lock(std::string_view type, std::string_view key, lock_options options) {
  return wait_for<named_lock>(*impl_, options.deadline, [&](auto done) {
    lock_calls::acquire(impl_, {std::string{type}, std::string{key}}, options, true, certainly(std::move(done)));
  });
}

result<std::optional<named_lock>> session::try_lock(std::string_view type, std::string_view key,
                                                    lock_options options) {
  return wait_for<std::optional<named_lock>>(*impl_, options.deadline, [&](auto done) {
    lock_calls::acquire(impl_, {std::string{type}, std::string{key}}, options, false, std::move(done));
  });
}

result<std::vector<named_lock>> session::lock_many(std::vector<key_name> locks, lock_options options) {
  return wait_for<std::vector<named_lock>>(*impl_, options.deadline, [&](auto done) {
    lock_calls::acquire_all(impl_, std::move(locks), options, std::move(done));
  });
}

pending<named_lock> async_session::lock(std::string_view type, std::string_view key, lock_options options) {
  return pending_of<named_lock>([&](auto done) {
    lock_calls::acquire(impl_, {std::string{type}, std::string{key}}, std::move(options), true,
                        certainly(std::move(done)));
  });
}

void async_session::lock(std::string_view type, std::string_view key, on_done<named_lock, lock_options> done) {
  lock_calls::acquire(impl_, {std::string{type}, std::string{key}}, std::move(done.options), true,
                      certainly(std::move(done.done)));
}

pending<std::optional<named_lock>> async_session::try_lock(std::string_view type, std::string_view key,
                                                           lock_options options) {
  return pending_of<std::optional<named_lock>>([&](auto done) {
    lock_calls::acquire(impl_, {std::string{type}, std::string{key}}, std::move(options), false, std::move(done));
  });
}

void async_session::try_lock(std::string_view type, std::string_view key,
                             on_done<std::optional<named_lock>, lock_options> done) {
  lock_calls::acquire(impl_, {std::string{type}, std::string{key}}, std::move(done.options), false,
                      std::move(done.done));
}

pending<std::vector<named_lock>> async_session::lock_many(std::vector<key_name> locks, lock_options options) {
  return pending_of<std::vector<named_lock>>(
      [&](auto done) { lock_calls::acquire_all(impl_, std::move(locks), std::move(options), std::move(done)); });
}

void async_session::lock_many(std::vector<key_name> locks, on_done<std::vector<named_lock>, lock_options> done) {
  lock_calls::acquire_all(impl_, std::move(locks), std::move(done.options), std::move(done.done));
}

result<std::chrono::nanoseconds> named_lock::renew(std::optional<std::chrono::nanoseconds> deadline) {
  if (!grant_) return tl::unexpected{error{errc::lock_lost, "of nothing"}};
  return wait_for<nanoseconds>(*session_, deadline,
                               [&](auto done) { lock_calls::renew(session_, grant_, deadline, std::move(done)); });
}

result<void> named_lock::release(std::optional<std::chrono::nanoseconds> deadline) {
  if (!grant_) return tl::unexpected{error{errc::lock_lost, "of nothing"}};
  const auto released = wait_for<bool>(
      *session_, deadline, [&](auto done) { lock_calls::release(session_, grant_, deadline, std::move(done)); });
  if (!released) return tl::unexpected{released.error()};
  return {};
}

} // namespace troupe
