#include "runtime/lock_calls.hpp"

#include "protocol/cluster.hpp"
#include "protocol/limits.hpp"
#include "protocol/wire.hpp"
#include "runtime/runtime_impl.hpp"

#include <algorithm>
#include <array>
#include <tuple>

namespace troupe {

namespace {

/// For as long nodes repeat that a lock is given back, while nobody waits for the answer.
constexpr nanoseconds give_back_at_most = std::chrono::seconds{10};
constexpr std::size_t locks_at_once_max = 64;

std::int64_t count(instant at) { return at.time_since_epoch().count(); }

v1::Result as_result(const result<v1::Result>& answer) {
  if (answer) return *answer;
  v1::Result failed;
  failed.set_error(static_cast<std::uint32_t>(answer.error().code()));
  return failed;
}

/// What is wrong with the options, beyond what is checked for every operation.
std::optional<error> refusal(const cluster& shape, const key_name& name, const lock_options& options) {
  const auto longest = milliseconds{limits::lock_duration_max_ms};
  if (options.ttl < milliseconds{1} || options.ttl > longest)
    return error{errc::invalid_argument, "a ttl of " + std::to_string(options.ttl.count()) + " ms; allowed are 1 to "
                                             + std::to_string(longest.count())};
  if (stored_key(name.type, name.key).size() > limits::lock_name_bytes_max)
    return error{errc::key_too_long, "a lock's name has at most " + std::to_string(limits::lock_name_bytes_max)
                                         + " bytes, with its type"};
  if (options.owner.size() > limits::lock_owner_bytes_max)
    return error{errc::invalid_argument,
                 "an owner of more than " + std::to_string(limits::lock_owner_bytes_max) + " bytes"};
  if (options.protects.size() > limits::lock_protects_max)
    return error{errc::invalid_argument,
                 "more than " + std::to_string(limits::lock_protects_max) + " protected keys"};
  for (const auto& key : options.protects) {
    if (!shape.types.contains(key.type)) return error{errc::unknown_type, "of a protected key: " + key.type};
    if (key.key.empty() || stored_key(key.type, key.key).size() > limits::key_bytes_max)
      return error{errc::key_too_long, "a protected key of type " + key.type};
  }
  return std::nullopt;
}

} // namespace

void detail::lock_grant::extend(instant to) {
  auto known = until.load();
  while (known != 0 && known < count(to) && !until.compare_exchange_weak(known, count(to))) {
  }
}

const std::shared_ptr<const detail::lock_grant>& grant_of(const lock_fence& fence) { return fence.grant_; }

// -- running
// ----------------------------------------------------------------------------------------------------------

lock_runner::lock_runner(lock_acquisition::wish wish, const node_clock& clock, execute ask, execute give_back,
                         std::function<void(ending)> done)
    : clock_{clock},
      core_{std::move(wish)},
      ask_{std::move(ask)},
      give_back_{std::move(give_back)},
      done_{std::move(done)} {}

void lock_runner::run(lock_acquisition::wish wish, const node_clock& clock, execute ask, execute give_back,
                      std::function<void(ending)> done) {
  const std::shared_ptr<lock_runner> runner{
      new lock_runner{std::move(wish), clock, std::move(ask), std::move(give_back), std::move(done)}};
  runner->step([](lock_acquisition& core, instant now, lock_acquisition::effects& out) { core.start(now, out); });
}

void lock_runner::step(const std::function<void(lock_acquisition&, instant, lock_acquisition::effects&)>& take) {
  lock_acquisition::effects effects;
  {
    const std::lock_guard lock{mutex_};
    take(core_, clock_.now(), effects);
  }
  for (auto& effect : effects) {
    if (auto* ask = std::get_if<lock_acquisition::ask>(&effect)) {
      ask_(std::move(ask->operation), [self = shared_from_this(), number = ask->number](const v1::Result& result) {
        self->step([&](lock_acquisition& core, instant now, lock_acquisition::effects& out) {
          core.answered(number, result, now, out);
        });
      });
    } else if (auto* back = std::get_if<lock_acquisition::give_back>(&effect)) {
      give_back_(std::move(back->operation), [](const v1::Result&) {});
    } else if (auto* held = std::get_if<lock_acquisition::held>(&effect)) {
      done_(*held);
    } else if (auto* taken = std::get_if<lock_acquisition::taken>(&effect)) {
      done_(*taken);
    } else {
      done_(std::get<lock_acquisition::failed>(effect));
    }
  }
}

// -- the calls
// ---------------------------------------------------------------------------------------------------------

void lock_calls::acquire(const std::shared_ptr<session_impl>& session, key_name name, lock_options options, bool wait,
                         granted done) {
  const auto& settings = session->settings();
  if (auto why = refusal(settings.shape, name, options)) return done(tl::unexpected{std::move(*why)});
  auto grant = std::make_shared<detail::lock_grant>();
  grant->stored = stored_key(name.type, name.key);
  grant->owner = options.owner.empty() ? session->unique_name() : options.owner;
  grant->ttl = options.ttl;
  grant->shards = settings.shape.shards;
  grant->drift_ppm = settings.shape.drift_ppm;
  grant->name = std::move(name);

  lock_acquisition::wish wish;
  wish.lock = grant->stored;
  wish.owner = grant->owner;
  wish.unique_owner = options.owner.empty();
  wish.shared = options.mode == lock_mode::shared;
  wish.wait = wait;
  wish.duration = options.ttl;
  for (const auto& key : options.protects)
    wish.protects.push_back(stored_key(key.type, key.key));
  wish.shards = grant->shards;
  wish.drift_ppm = grant->drift_ppm;

  const auto& clock = session->clock();
  const auto deadline = clock.now() + options.deadline.value_or(settings.deadline);
  // What went wrong in words, of the operation that failed.
  auto why = std::make_shared<std::optional<error>>();
  auto ask = [session, grant, deadline, why, stop = options.stop](v1::Operation operation, lock_runner::answer then) {
    call_request request{
        grant->name.type, grant->name.key, std::move(operation), deadline - session->clock().now(), stop, {}};
    session->issue(std::move(request), [why, then = std::move(then)](result<v1::Result> answer) {
      if (!answer) *why = answer.error();
      then(as_result(answer));
    });
  };
  auto give_back = [session, grant](v1::Operation operation, lock_runner::answer then) {
    call_request request{grant->name.type, grant->name.key, std::move(operation), give_back_at_most, {}, {}};
    session->issue(std::move(request),
                   [then = std::move(then)](result<v1::Result> answer) { then(as_result(answer)); });
  };
  lock_runner::run(
      std::move(wish), clock, std::move(ask), std::move(give_back),
      [session, grant, why, done = std::move(done)](lock_runner::ending end) {
        if (const auto* held = std::get_if<lock_acquisition::held>(&end)) {
          grant->token = held->token;
          grant->until = count(held->until);
          named_lock lock{session, grant};
          if (!grant->has(session->clock().now())) {
            return done(tl::unexpected{error{errc::lock_lost, "its time was over before it could be used"}});
          }
          return done(std::optional<named_lock>{std::move(lock)});
        }
        if (std::holds_alternative<lock_acquisition::taken>(end)) return done(std::optional<named_lock>{});
        const auto code = std::get<lock_acquisition::failed>(end).why;
        done(tl::unexpected{*why && (*why)->code() == code ? **why : error{code, grant->stored}});
      });
}

void lock_calls::acquire_all(const std::shared_ptr<session_impl>& session, std::vector<key_name> names,
                             lock_options options, std::function<void(result<std::vector<named_lock>>)> done) {
  auto order = [](const key_name& a, const key_name& b) { return std::tie(a.type, a.key) < std::tie(b.type, b.key); };
  std::sort(names.begin(), names.end(), order);
  const bool twice =
      std::adjacent_find(names.begin(), names.end(), [&](const auto& a, const auto& b) { return !order(a, b); })
      != names.end();
  if (names.empty() || names.size() > locks_at_once_max || twice)
    return done(tl::unexpected{error{errc::invalid_argument, "1 to " + std::to_string(locks_at_once_max)
                                                                 + " locks at once, each named once"}});
  struct run : std::enable_shared_from_this<run> {
    std::shared_ptr<session_impl> session;
    std::vector<key_name> names;
    lock_options options;
    std::function<void(result<std::vector<named_lock>>)> done;
    instant deadline;
    std::vector<named_lock> held;

    void next() {
      if (held.size() == names.size()) return refresh(0);
      options.deadline = deadline - session->clock().now();
      acquire(session, names[held.size()], options, true,
              [self = shared_from_this()](result<std::optional<named_lock>> lock) {
                if (!lock || !*lock) {
                  self->held.clear();
                  return self->done(tl::unexpected{lock ? error{errc::internal, "no lock where one was waited for"}
                                                        : lock.error()});
                }
                self->held.push_back(std::move(**lock));
                self->next();
              });
    }

    /// Renews what has little left, from number `i` on: while one was waited for, the time of those before it ran.
    void refresh(std::size_t i) {
      while (i < held.size() && held[i].remaining() > options.ttl * 2 / 3)
        ++i;
      if (i < held.size())
        return renew(session, held[i].grant_, deadline - session->clock().now(),
                     [self = shared_from_this(), i](result<nanoseconds> left) {
                       if (left) return self->refresh(i + 1);
                       self->held.clear();
                       self->done(tl::unexpected{std::move(left.error())});
                     });
      const bool lost =
          std::any_of(held.begin(), held.end(), [](const auto& lock) { return lock.remaining() == nanoseconds{0}; });
      if (!lost) return done(std::move(held));
      held.clear();
      done(tl::unexpected{error{errc::lock_lost, "the time of one was over before all were there"}});
    }
  };
  auto all = std::make_shared<run>();
  all->session = session;
  all->names = std::move(names);
  all->deadline = session->clock().now() + options.deadline.value_or(session->settings().deadline);
  all->options = std::move(options);
  all->done = std::move(done);
  all->next();
}

void lock_calls::renew(const std::shared_ptr<session_impl>& session, const std::shared_ptr<detail::lock_grant>& grant,
                       std::optional<nanoseconds> deadline, std::function<void(result<nanoseconds>)> done) {
  const auto sent = session->clock().now();
  if (!grant->has(sent)) return done(tl::unexpected{error{errc::lock_lost, grant->stored}});
  call_request request{grant->name.type,
                       grant->name.key,
                       lock_acquisition::renewal_of(grant->stored, grant->owner, grant->token, grant->shards),
                       deadline,
                       {},
                       {}};
  session->issue(std::move(request), [session, grant, sent, done = std::move(done)](result<v1::Result> answer) {
    if (!answer) return done(tl::unexpected{std::move(answer.error())});
    grant->extend(lock_acquisition::until(sent, grant->ttl, grant->drift_ppm));
    const auto now = session->clock().now();
    if (!grant->has(now)) return done(tl::unexpected{error{errc::lock_lost, grant->stored}});
    done(nanoseconds{grant->until.load() - count(now)});
  });
}

void lock_calls::release(const std::shared_ptr<session_impl>& session,
                         const std::shared_ptr<detail::lock_grant>& grant, std::optional<nanoseconds> deadline,
                         std::function<void(result<bool>)> done) {
  const auto until = grant->until.exchange(0);
  if (until == 0) return done(tl::unexpected{error{errc::lock_lost, grant->stored + " was given back"}});
  const bool over = count(session->clock().now()) >= until;
  call_request request{grant->name.type,
                       grant->name.key,
                       lock_acquisition::release_of(grant->stored, grant->owner, grant->token, true, grant->shards),
                       deadline,
                       {},
                       {}};
  session->issue(std::move(request), [grant, over, done = std::move(done)](result<v1::Result> answer) {
    if (!answer) return done(tl::unexpected{std::move(answer.error())});
    if (over) return done(tl::unexpected{error{errc::lock_lost, grant->stored}});
    done(true);
  });
}

// -- the handle
// --------------------------------------------------------------------------------------------------------

named_lock& named_lock::operator=(named_lock&& other) noexcept {
  if (this == &other) return *this;
  let_go();
  session_ = std::move(other.session_);
  grant_ = std::move(other.grant_);
  return *this;
}

named_lock::~named_lock() { let_go(); }

void named_lock::let_go() noexcept {
  if (grant_ && grant_->until.load() != 0)
    lock_calls::release(session_, grant_, give_back_at_most, [](const result<bool>&) {});
  grant_ = nullptr;
  session_ = nullptr;
}

namespace {

const detail::lock_grant& shown(const std::shared_ptr<detail::lock_grant>& grant) {
  static const detail::lock_grant none;
  return grant ? *grant : none;
}

} // namespace

const std::string& named_lock::type() const { return shown(grant_).name.type; }
const std::string& named_lock::key() const { return shown(grant_).name.key; }
const std::string& named_lock::owner() const { return shown(grant_).owner; }

key_version named_lock::token() const {
  const auto& t = shown(grant_).token;
  return {t.era.round, t.era.node.value, t.era.life.value, t.counter};
}

std::chrono::nanoseconds named_lock::remaining() const {
  if (!grant_) return nanoseconds{0};
  return std::max(nanoseconds{grant_->until.load() - count(session_->clock().now())}, nanoseconds{0});
}

} // namespace troupe
