#include "runtime/faces/alert_webhook.hpp"

#include <httplib.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <ctime>

namespace troupe {

namespace {

using json = nlohmann::ordered_json;

constexpr std::string_view firing_end = "0001-01-01T00:00:00Z"; ///< what has not ended, as Alertmanager says it

/// Names an alert by its labels: the same ones, the same name. (FNV-1a, as Prometheus.)
std::string fingerprint_of(const std::map<std::string, std::string>& labels) {
  std::uint64_t sum = 0xCBF2'9CE4'8422'2325U;
  const auto add = [&](std::string_view text) {
    for (const char c : text)
      sum = (sum ^ static_cast<unsigned char>(c)) * 0x100'0000'01B3U;
    sum = (sum ^ 0xFFU) * 0x100'0000'01B3U;
  };
  for (const auto& [name, value] : labels) {
    add(name);
    add(value);
  }
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4)
    text += digits[(sum >> static_cast<unsigned>(shift)) & 15U];
  return text;
}

bool worth_repeating(int status) { return status == 408 || status == 429 || status >= 500; }

} // namespace

std::optional<webhook_address> webhook_address_in(std::string_view url) {
  std::string_view scheme;
  for (const std::string_view known : {"http://", "https://"})
    if (url.starts_with(known)) scheme = known;
  if (scheme.empty()) return std::nullopt;
  auto rest = url.substr(scheme.size());
  const auto slash = rest.find('/');
  const auto authority = rest.substr(0, slash);
  auto path = slash == std::string_view::npos ? std::string_view{"/"} : rest.substr(slash);
  const auto plain = [](char c) { return c > ' ' && c < 0x7F && c != '"' && c != '#'; };
  if (authority.empty() || !std::all_of(url.begin(), url.end(), plain)) return std::nullopt;
  if (authority.find_first_of("@?") != std::string_view::npos) return std::nullopt;
  const auto bracket = authority.rfind(']');
  const auto colon = authority.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    const auto digits = authority.substr(colon + 1);
    std::uint16_t port = 0;
    const auto [end, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (colon == 0 || wrong != std::errc{} || end != digits.data() + digits.size() || port == 0) return std::nullopt;
    if (bracket == std::string_view::npos && authority.find(':') != colon) return std::nullopt;
  }
  return webhook_address{std::string{scheme} + std::string{authority}, std::string{path}};
}

struct alert_webhook::connection {
  explicit connection(const webhook_options& o) : client(o.address.origin) {
    client.set_connection_timeout(std::chrono::duration_cast<std::chrono::microseconds>(o.connect_timeout));
    client.set_read_timeout(std::chrono::duration_cast<std::chrono::microseconds>(o.answer_timeout));
    client.set_write_timeout(std::chrono::duration_cast<std::chrono::microseconds>(o.answer_timeout));
    client.set_keep_alive(false);
  }
  httplib::Client client;
};

alert_webhook::alert_webhook(webhook_options options, const node_clock& clock, std::shared_ptr<spdlog::logger> log)
    : options_(std::move(options)),
      clock_(clock),
      log_(std::move(log)),
      connection_(std::make_unique<connection>(options_)),
      thread_([this] { run(); }) {}

alert_webhook::~alert_webhook() { stop(); }

void alert_webhook::stop() {
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  changed_.notify_all();
  connection_->client.stop();
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock{mutex_};
  if (!waiting_.empty() && log_) log_->warn("alert.webhook_ended dropped={}", waiting_.size());
  counts_.dropped += waiting_.size();
  waiting_.clear();
}

alert_webhook::counters alert_webhook::count() const {
  const std::lock_guard lock{mutex_};
  auto counts = counts_;
  counts.waiting = waiting_.size();
  return counts;
}

void alert_webhook::post(const alert_notice& notice) {
  auto body = body_of(notice);
  {
    const std::lock_guard lock{mutex_};
    if (stopping_) {
      ++counts_.dropped;
      return;
    }
    if (waiting_.size() >= options_.waiting_max) {
      ++counts_.dropped;
      // A beginning or an end says more than another repetition. The first is under way.
      const auto spare = std::find_if(waiting_.begin() + 1, waiting_.end(),
                                      [](const auto& w) { return w.turn == alert_turn::repeated; });
      if (notice.turn == alert_turn::repeated || spare == waiting_.end()) return;
      waiting_.erase(spare);
    }
    waiting_.push_back({notice.turn, std::move(body)});
  }
  changed_.notify_all();
}

void alert_webhook::run() {
  auto pause = options_.retry_first;
  std::unique_lock lock{mutex_};
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    const auto body = waiting_.front().body;
    lock.unlock();
    const auto how = send(body);
    lock.lock();
    if (how == sending::failed) {
      ++counts_.failed;
      changed_.wait_for(lock, pause, [&] { return stopping_; });
      pause = std::min(pause * 2, options_.retry_max);
      continue;
    }
    ++(how == sending::sent ? counts_.sent : counts_.refused);
    pause = options_.retry_first;
    waiting_.pop_front();
  }
}

alert_webhook::sending alert_webhook::send(const std::string& body) {
  // What it answers is of no interest, however long it is.
  httplib::Request request;
  request.method = "POST";
  request.path = options_.address.path;
  request.body = body;
  request.set_header("Content-Type", "application/json");
  request.set_header("User-Agent", "troupe");
  int status = 0;
  request.response_handler = [&](const httplib::Response& response) {
    status = response.status;
    return false;
  };
  const auto answer = connection_->client.send(request);
  if (status == 0 && answer) status = answer->status;
  if (status >= 200 && status < 300) return sending::sent;
  if (status == 0 || worth_repeating(status)) {
    if (log_) log_->debug("alert.webhook_failed status={} error={}", status, httplib::to_string(answer.error()));
    return sending::failed;
  }
  if (log_)
    log_->error("alert.webhook_refused url={}{} status={}", options_.address.origin, options_.address.path, status);
  return sending::refused;
}

/// RFC 3339 in UTC. The notice has a time of the node's monotonic clock; people have calendars.
std::string alert_webhook::wall_time(instant at) const {
  const auto ago = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - at).count();
  const auto ms = static_cast<std::int64_t>(clock_.wall_ms()) - ago;
  const std::time_t seconds = ms / 1'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  const auto fraction = std::to_string(1'000 + ms % 1'000);
  return std::string{text.data(), size} + "." + fraction.substr(1) + "Z";
}

std::string alert_webhook::body_of(const alert_notice& notice) const {
  const auto& a = notice.about;
  const bool over = notice.turn == alert_turn::resolved;
  auto labels = options_.labels;
  labels["alertname"] = "troupe_" + a.name;
  labels["severity"] = name_of(a.severity);
  labels["kind"] = a.kind;
  labels["type"] = a.type;
  labels["level"] = name_of(a.given);
  std::erase_if(labels, [](const auto& label) { return label.second.empty(); });
  std::map<std::string, std::string> annotations{{"summary", a.summary},
                                                 {"description", a.detail},
                                                 {"key", a.key},
                                                 {"count", std::to_string(a.count)},
                                                 {"since", std::to_string(a.since)}};
  std::erase_if(annotations, [](const auto& annotation) { return annotation.second.empty(); });
  const std::string status = over ? "resolved" : "firing";
  const json one{{"status", status},
                 {"labels", labels},
                 {"annotations", annotations},
                 {"startsAt", wall_time(a.began)},
                 {"endsAt", over ? wall_time(notice.at) : std::string{firing_end}},
                 {"generatorURL", options_.external_url.empty() ? "" : options_.external_url + "/metrics"},
                 {"fingerprint", fingerprint_of(labels)}};
  const json body{{"version", "4"},
                  {"groupKey", "{}:{alertname=\"" + labels["alertname"] + "\"}"},
                  {"truncatedAlerts", 0},
                  {"status", status},
                  {"receiver", "troupe"},
                  {"groupLabels", {{"alertname", labels["alertname"]}}},
                  {"commonLabels", labels},
                  {"commonAnnotations", annotations},
                  {"externalURL", options_.external_url},
                  {"alerts", json::array({one})}};
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace troupe
