#include "runtime/cli/held_lock.hpp"

#include "runtime/cli/admin_client.hpp"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>

namespace troupe::cli {

namespace {

using nlohmann::json;
using namespace std::chrono_literals;

/// How long one request waits for the lock: a node allows for a minute. The next one waits behind everybody else.
constexpr auto wait_slice = 50s;
/// The same of an owner whose wait give_up() does not end: between requests it is looked whether to go on.
constexpr auto short_wait_slice = 5s;
/// How long a node may take for a renewal or a release, or for what it does beside waiting.
constexpr auto patience = 2s;
/// Of a renewal that was not answered, until the next.
constexpr auto retry_pause = 100ms;

boot_time third_of(std::chrono::milliseconds ttl) { return boot_time{ttl} / 3; }

std::string count_of(std::chrono::nanoseconds time) {
  return std::to_string(std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::milliseconds>(time).count()));
}

std::string path_of(const lock_wish& wish) {
  return "/v1/locks/" + percent_encoded(wish.type) + "/" + percent_encoded(wish.name);
}

std::string parameters_of(const lock_wish& wish) {
  auto text = "ttl_ms=" + std::to_string(wish.ttl.count());
  if (wish.shared) text += "&shared=true";
  text += "&owner=" + percent_encoded(wish.owner);
  for (const auto& key : wish.protects)
    text += "&protect=" + percent_encoded(key);
  return text;
}

std::string text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::int64_t number(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

/// What a node said that did not do what it was asked.
held_lock::failure failure_of(const admin_answer& answer, const json& body) {
  if (!body.is_object()) return {not_done, false, "HTTP " + std::to_string(answer.status) + " from no admin address"};
  if (!body.contains("error")) {
    const auto owner = text(body, "owner");
    return {not_done, true, "not done: " + (owner.empty() ? "somebody waits for it" : owner + " has it")};
  }
  const auto code = text(body, "error");
  // What was granted after all is given back by the node: nobody has the lock by this.
  const bool waited = code == "timeout" || code == "expired";
  return {answer.status == 400 ? bad_usage : not_done, waited,
          "not done: " + (waited ? "not granted in time" : code + ": " + text(body, "message"))};
}

} // namespace

boot_time boot_now() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec};
}

std::string unique_owner() {
  std::string host(256, '\0');
  ::gethostname(host.data(), host.size() - 1);
  host.resize(std::min<std::size_t>(std::strlen(host.c_str()), 64));
  return host + "/" + std::to_string(::getpid()) + "/" + std::to_string(boot_now().count());
}

tl::expected<held_lock, held_lock::failure> held_lock::acquire(const lock_wish& wish,
                                                               const std::function<bool()>& given_up) {
  auto taken = take(wish, given_up);
  // The node gives back what was granted after all, but not by a name that may have an older grant.
  if (!taken && wish.unique_owner) give_up(wish);
  return taken;
}

tl::expected<held_lock, held_lock::failure> held_lock::take(const lock_wish& wish,
                                                            const std::function<bool()>& given_up) {
  const auto until = wish.wait ? boot_now() + *wish.wait : boot_time::max();
  const boot_time slice = wish.unique_owner ? wait_slice : short_wait_slice;
  for (;;) {
    const auto sent = boot_now();
    const auto left = std::min(std::max<boot_time>(until - sent, 0ns), slice);
    const bool waits = left > 0ns;
    admin_request request{.method = "POST"};
    request.target = path_of(wish) + "?" + parameters_of(wish)
                     + (waits ? "&wait_ms=" + count_of(left) : "&deadline_ms=" + count_of(patience));
    request.patience = std::chrono::ceil<std::chrono::milliseconds>(left) + patience + 1s;
    const auto answer = ask_admin(wish.admin, request);
    if (!answer) return tl::unexpected{failure{not_done, false, "not done: " + answer.error().what}};
    const auto body = json::parse(answer->body, nullptr, false);
    if (answer->status == 200 && body.is_object()) {
      held_lock lock{wish};
      lock.token_ = text(body, "token");
      lock.until_ = sent + std::chrono::milliseconds{number(body, "remaining_ms")};
      lock.next_ = sent + third_of(wish.ttl);
      // Of a lock that was waited for, little or nothing is left by this count.
      if (boot_now() < lock.next_ || lock.keep()) return lock;
      lock.release();
      return tl::unexpected{failure{not_done, false, "not done: " + lock.why_lost_}};
    }
    if (given_up()) return tl::unexpected{failure{not_done, false, "not done: interrupted"}};
    auto why = failure_of(*answer, body);
    if (!why.taken || !waits || boot_now() >= until) return tl::unexpected{std::move(why)};
  }
}

void held_lock::give_up(const lock_wish& wish) {
  (void)ask_admin(wish.admin, {.method = "DELETE",
                               .target = path_of(wish) + "?owner=" + percent_encoded(wish.owner)
                                         + "&deadline_ms=" + count_of(patience),
                               .patience = patience + 1s});
}

held_lock::held_lock(const lock_wish& wish)
    : admin_{wish.admin}, path_{path_of(wish)}, owner_{wish.owner}, ttl_{wish.ttl} {}

std::string held_lock::target(const std::string& parameters) const {
  return path_ + "?owner=" + percent_encoded(owner_) + "&token=" + percent_encoded(token_) + parameters;
}

std::chrono::milliseconds held_lock::remaining() const {
  return std::chrono::floor<std::chrono::milliseconds>(std::max<boot_time>(until_ - boot_now(), 0ns));
}

bool held_lock::keep() {
  const auto sent = boot_now();
  if (sent < next_ && sent < until_) return true;
  // A grant that was waited for may be over by this count, and not by the node's: the node decides.
  const auto left = until_ > sent ? std::min<boot_time>(until_ - sent, patience) : boot_time{patience};
  admin_request request{.method = "PUT"};
  request.target = target("&deadline_ms=" + count_of(left));
  request.patience = std::chrono::ceil<std::chrono::milliseconds>(left);
  const auto answer = ask_admin(admin_, request);
  const auto body = answer ? json::parse(answer->body, nullptr, false) : json{};
  if (answer && answer->status == 200 && body.is_object()) {
    until_ = std::max(until_, sent + std::chrono::milliseconds{number(body, "remaining_ms")});
    next_ = sent + third_of(ttl_);
    if (boot_now() < until_) return true;
    why_lost_ = "its time was over before a renewal was answered";
    return false;
  }
  if (answer && body.is_object() && text(body, "error") == "lock_lost") {
    until_ = {};
    why_lost_ = text(body, "message");
    return false;
  }
  next_ = boot_now() + retry_pause;
  if (boot_now() < until_) return true;
  why_lost_ = "its time is over, and no renewal was answered: "
              + (answer ? "HTTP " + std::to_string(answer->status) : answer.error().what);
  return false;
}

void held_lock::release() {
  admin_request request{.method = "DELETE", .patience = patience + 1s};
  request.target = target("&deadline_ms=" + count_of(patience));
  (void)ask_admin(admin_, request);
}

} // namespace troupe::cli
