/// What a session of the public API does for the weaker levels: tokens, reads from the node's table, whole answers.
#include "protocol/limits.hpp"
#include "runtime/assembly.hpp"
#include "runtime/runtime_impl.hpp"

#include "actors/layers/read_epochs.hpp"
#include "runtime/token_question.hpp"

#include <caf/send.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace troupe {

namespace {

/// What a node's table holds copies of.
bool has_copies(const data_type& type) {
  return type.consistency != level::strong && type.resolver != resolver_kind::siblings
         && type.resolver != resolver_kind::set && type.resolver != resolver_kind::map;
}

} // namespace

void issued_call::answer(const v1::WeakAnswer& answer) noexcept {
  const auto& types = owner_->settings().shape.types;
  const auto type = types.find(subject_.type);
  const bool ordered = type != types.end() && type->second.consistency != level::eventual;
  if (reads_) reads_->answered(subject_.key, answer, ordered);
  if (details_) keep(answer, *details_);
  if (answer.result().error() == 0) return settle(answer.result());
  settle(tl::unexpected{error_of(answer, subject_.key, owner_->settings().shape)});
}

std::optional<level> session_impl::level_asked(const data_type& type, const std::optional<level>& by_call) const {
  if (by_call) return by_call;
  if (options_.consistency && *options_.consistency < type.consistency) return options_.consistency;
  return std::nullopt;
}

bool session_impl::read_weak_here(std::string_view type, std::string_view key, const call_options& options,
                                  std::optional<found>& answer) {
  if (!weak_ || refused_ || delivering() || owner_->gate().closed()) return false;
  if (options_.recorded && owner_->history() != nullptr) return false;
  if (options.stop.stop_requested() || grant_of(options.under) || options.max_staleness || !options.after.empty()
      || !options.context.empty())
    return false;
  if (options.deadline && *options.deadline <= nanoseconds{0}) return false;
  const auto* const known = owner_->meter().find(type);
  if (known == nullptr || !has_copies(known->policy) || key.empty()
      || type.size() + 1 + key.size() > limits::key_bytes_max)
    return false;
  const auto own = known->policy.consistency;
  const auto promised = level_asked(known->policy, options.at).value_or(own);
  if (promised > own || (options_.consistency && *options_.consistency > own))
    return false; // what is refused is refused in one place

  std::array<char, limits::key_bytes_max> text;
  auto* end = std::copy(type.begin(), type.end(), text.begin());
  *end++ = ':';
  end = std::copy(key.begin(), key.end(), end);
  const std::string_view stored{text.data(), static_cast<std::size_t>(end - text.begin())};
  if (open_->has(stored)) return false; // what was called before on this key comes before

  const auto& feed = owner_->audit();
  const auto called = feed ? owner_->clock().now() : instant{};
  auto& record = answer.emplace(); // in its place from the start, as read_here() does
  const auto hit = weak_->read(stored, promised, record.value);
  if (hit) {
    if (feed && promised == own) audit_copy({type, stored, promised, id_.value}, *hit, record.value, called);
    known->from_memory(promised).count(reader_number());
    if (hit->exists) {
      record.version = {hit->clock, hit->written.from.node.value, hit->written.from.life, hit->written.seq};
      if (options.receipt)
        record.receipt = receipt{.given = promised, .from = receipt::source::memory, .written_ms = hit->clock >> 16U};
      return true;
    }
  }
  answer.reset();
  return hit.has_value();
}

void session_impl::audit_copy(const operation_audit::subject& about, const weak_table::hit& hit,
                              const std::string& value, instant called) const {
  if (bits_of(options_.guarantees) != bits_of({})) return;
  auto audit = operation_audit::of(owner_->audit(), settings().shape, about, operation_audit::a_get(), called);
  if (!audit) return;
  v1::Result answer;
  answer.set_exists(hit.exists);
  if (hit.exists) answer.set_value(value);
  auto& v = *answer.mutable_version();
  v.set_round(hit.clock);
  v.set_node(hit.written.from.node.value);
  v.set_incarnation(hit.written.from.life);
  v.set_counter(hit.written.seq);
  audit->end(answer, owner_->clock().now());
}

void session_impl::tell_actor() {
  if (!weak_ || !actor_) return;
  if (auto news = weak_->untold()) caf::anon_send(actor_, session_token_join{std::move(*news)});
}

void session_impl::ask_token(std::function<void(result<std::string>)> done) {
  session_actor actor;
  {
    const std::lock_guard lock{mutex_};
    tell_actor();
    actor = actor_;
  }
  if (refused_) return done(tl::unexpected{*refused_});
  auto seal_it = [done, seal = owner_->settings().seal()](result<v1::SessionVector> seen) {
    if (!seen) return done(tl::unexpected{std::move(seen.error())});
    done(seal.seal(*seen));
  };
  const bool running = owner_->with_parts(
      [&](assembly& a) { troupe::ask_token(a.system(), actor, settings().deadline, std::move(seal_it)); });
  if (!running) done(tl::unexpected{error{errc::shutting_down}});
}

result<void> session_impl::join(std::string_view token) {
  auto seen = settings().seal().open(token);
  if (!seen) return tl::unexpected{std::move(seen.error())};
  if (weak_) weak_->joined(*seen);
  const std::lock_guard lock{mutex_};
  if (!actor_) return tl::unexpected{error{errc::shutting_down}};
  caf::anon_send(actor_, session_token_join{std::move(*seen)});
  return {};
}

} // namespace troupe
