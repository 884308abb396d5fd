#include "runtime/faces/admin_http.hpp"

#include "actors/transport.hpp"
#include "protocol/limits.hpp"
#include "runtime/faces/http_keys.hpp"
#include "runtime/faces/node_metrics.hpp"
#include "runtime/faces/request_pool.hpp"
#include "runtime/status.hpp"

#include <caf/send.hpp>

#include <httplib.h>
#include <nlohmann/json.hpp>
#include <prometheus/text_serializer.h>
#include <spdlog/spdlog.h>

#include <future>
#include <stdexcept>
#include <string>

namespace troupe {

namespace {

/// Why a second beside the deadline: the session answers at the deadline; this is for the case that it does not.
constexpr milliseconds grace{1'000};

void respond(httplib::Response& response, http::answer answer) {
  response.status = answer.status;
  if (!answer.etag.empty()) response.set_header("ETag", answer.etag);
  if (answer.status == 304) return;
  response.body = std::move(answer.body);
  response.set_header("Content-Type", answer.content_type);
}

void respond_json(httplib::Response& response, int status, const nlohmann::json& object) {
  respond(response,
          {status, object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), "application/json", ""});
}

http::key_request words_of(const httplib::Request& request, std::string body = {}) {
  return {request.method == "HEAD" ? "GET" : request.method, request.target, std::move(body),
          request.get_header_value("If-None-Match"), request.get_header_value("If-Match")};
}

/// What the handlers of keys need.
struct key_service {
  const face_setup& face;
  const admin_limits& bounds;
  request_sessions& sessions;

  void serve(http::key_request words, httplib::Response& response) const {
    response.set_header("Cache-Control", "no-cache"); // whoever keeps a copy has to ask again before using it
    auto validators = words;
    validators.body.clear();
    auto asked = http::interpret(face.shape(), std::move(words), bounds.deadline_max);
    if (!asked) return respond(response, std::move(asked.error()));
    const auto what = asked->operation.operation.what_case();
    const auto budget = asked->deadline.value_or(face.deadline);
    respond(response, http::answer_to(validators, what, sessions.perform(face, std::move(asked->operation), budget)));
  }

  /// @param content  the body; decoded, if it is compressed.
  void serve_with_body(const httplib::Request& request, httplib::Response& response,
                       const httplib::ContentReader& content) const {
    std::string body;
    bool too_large = false;
    const bool complete = content([&](const char* bytes, std::size_t size) {
      too_large = size > limits::value_bytes_max - body.size();
      if (!too_large) body.append(bytes, size);
      return !too_large;
    });
    if (too_large) return respond(response, http::failure(errc::value_too_large));
    if (!complete) return respond(response, http::failure(errc::invalid_argument, "the body could not be read"));
    serve(words_of(request, std::move(body)), response);
  }
};

/// Leaves of a key's path what it is routed by; the key is read from the target.
///
/// Why: httplib matches paths with std::regex, which takes stack for each of their bytes, megabytes for a long one.
void shorten_path(httplib::Request& request) {
  if (request.path.starts_with(http::keys_prefix)) request.path = http::keys_prefix;
}

http::answer nothing_at(const std::string& path) {
  auto answer = http::failure(errc::invalid_argument, "nothing is at " + path
                                                          + "; there are /healthz /readyz /metrics /v1/status and "
                                                            "/v1/keys/TYPE/KEY");
  answer.status = 404;
  return answer;
}

/// What httplib itself refuses has no body yet.
void explain(const httplib::Request& request, httplib::Response& response) {
  if (!response.body.empty() || response.status < 400) return;
  auto answer = response.status == 404 ? nothing_at(request.path) : http::failure(errc::invalid_argument);
  answer.status = response.status;
  respond(response, std::move(answer));
}

/// Refuses what no handler is for before its body is read: httplib would keep all of it, decompressed.
///
/// And what a web page asks for that a browser shows: it must not be able to change keys of a node on its machine.
httplib::Server::HandlerResponse refuse(const httplib::Request& request, httplib::Response& response) {
  constexpr auto handled = httplib::Server::HandlerResponse::Handled;
  constexpr auto unhandled = httplib::Server::HandlerResponse::Unhandled;
  if (request.method == "GET" || request.method == "HEAD") return unhandled;
  if (request.has_header("Origin")) {
    auto answer = http::failure(errc::invalid_argument, "a request with an Origin header changes nothing here");
    answer.status = 403;
    respond(response, std::move(answer));
    return handled;
  }
  if (request.method != "PUT" && request.method != "POST" && request.method != "DELETE") {
    auto answer = http::failure(errc::invalid_argument, "the methods here are GET, HEAD, PUT, POST and DELETE");
    answer.status = 405;
    respond(response, std::move(answer));
    response.set_header("Allow", "GET, HEAD, PUT, POST, DELETE");
    return handled;
  }
  if (request.path.starts_with(http::keys_prefix)) return unhandled;
  respond(response, nothing_at(request.path));
  return handled;
}

} // namespace

v1::Result request_sessions::perform(const face_setup& face, typed_operation asked, milliseconds budget) {
  const auto outcome = std::make_shared<std::promise<v1::Result>>();
  auto arrives = outcome->get_future();
  session_actor session;
  {
    const std::lock_guard lock{guard_};
    if (closed_) return failed(errc::shutting_down);
    session = face.actors->open_session(face.next_session());
    open_.insert(session);
    submit(face, session, std::move(asked), budget,
           [outcome](const v1::Result& result) { outcome->set_value(result); });
  }
  const bool arrived = arrives.wait_for(budget + grace) == std::future_status::ready;
  const std::lock_guard lock{guard_};
  open_.erase(session);
  caf::anon_send(session, close_atom::value);
  return arrived ? arrives.get() : failed(errc::timeout);
}

void request_sessions::close() {
  const std::lock_guard lock{guard_};
  closed_ = true;
  for (const auto& session : open_)
    caf::anon_send(session, close_atom::value);
}

admin_http::admin_http(const face_setup& face, const endpoint& at, const admin_limits& bounds)
    : face_(face),
      bounds_(bounds),
      address_(at),
      server_(std::make_unique<http_server>(bounds.connection, shorten_path)) {
  server_->new_task_queue = [bounds] { return new request_pool{bounds.threads, bounds.waiting_max}; };
  server_->set_pre_routing_handler(refuse);
  server_->set_error_handler(httplib::Server::Handler{explain});
  server_->set_exception_handler([log = face.log](const auto& request, auto& response, std::exception_ptr) {
    log->error("admin.request_failed path={}", request.path);
    respond(response, http::failure(errc::internal));
    response.status = 500;
  });
  add_probes();
  add_keys();
  listen();
  face_.log->info("admin.listening address={}", to_string(address_));
}

admin_http::~admin_http() {
  sessions_.close();
  server_->stop();
  server_->end_connections();
  acceptor_.join();
}

void admin_http::listen() {
  if (address_.port == 0) {
    const int port = server_->bind_to_any_port(address_.host);
    if (port <= 0) throw cannot_listen("listen.admin", to_string(address_));
    address_.port = static_cast<std::uint16_t>(port);
  } else if (!server_->bind_to_port(address_.host, address_.port)) {
    throw cannot_listen("listen.admin", to_string(address_));
  }
  acceptor_ = std::thread{[this] {
    if (!server_->listen_after_bind()) face_.log->error("admin.listener_closed");
    ended_ = true;
  }};
  // Before it runs, stop() would have no effect.
  while (!server_->is_running() && !ended_)
    std::this_thread::yield();
}

void admin_http::add_probes() {
  server_->Get("/healthz", [](const auto&, auto& response) { respond(response, {200, "ok\n", "text/plain", ""}); });
  const auto ask = [this] { return ask_status(*face_.system, *face_.actors, *face_.clock, bounds_.status_patience); };
  server_->Get("/readyz", [this, ask](const auto&, auto& response) {
    const auto why = obstacle(face_.actors->setup(), ask());
    respond_json(response, why ? 503 : 200, {{"ready", !why}, {"because", why.value_or("")}});
  });
  server_->Get("/v1/status", [this, ask](const auto&, auto& response) {
    respond(response, {200, to_json(face_.actors->setup(), ask(), face_.store), "application/json", ""});
  });
  server_->Get("/metrics", [this, ask](const auto&, auto& response) {
    auto families = face_.meter->collect();
    for (auto& family : metrics_of(face_.actors->setup(), ask(), face_.store))
      families.push_back(std::move(family));
    respond(response, {200, prometheus::TextSerializer{}.Serialize(families), "text/plain; version=0.0.4", ""});
  });
}

void admin_http::add_keys() {
  const std::string pattern{http::keys_prefix}; // see shorten_path
  const key_service keys{face_, bounds_, sessions_};
  const auto plain = [keys](const httplib::Request& request, httplib::Response& response) {
    keys.serve(words_of(request), response);
  };
  const auto with_body = [keys](const httplib::Request& request, httplib::Response& response,
                                const httplib::ContentReader& content) {
    keys.serve_with_body(request, response, content);
  };
  // The body of a DELETE means nothing; it is not read, since httplib would keep all of it.
  const auto without_body = [plain](const httplib::Request& request, httplib::Response& response,
                                    const httplib::ContentReader&) { plain(request, response); };
  server_->Get(pattern, plain);
  server_->Delete(pattern, httplib::Server::HandlerWithContentReader{without_body});
  server_->Put(pattern, httplib::Server::HandlerWithContentReader{with_body});
  server_->Post(pattern, httplib::Server::HandlerWithContentReader{with_body});
}

} // namespace troupe
