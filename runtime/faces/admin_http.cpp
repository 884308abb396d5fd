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
/// An idle connection keeps a thread for this long.
constexpr std::time_t keep_alive_seconds = 1;
constexpr std::time_t client_patience_seconds = 5;
constexpr std::size_t requests_per_connection = 1'000;

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

/// Runs one operation in a session of its own. Blocks.
v1::Result perform(const face_setup& face, typed_operation asked, milliseconds budget) {
  const auto outcome = std::make_shared<std::promise<v1::Result>>();
  auto arrives = outcome->get_future();
  const auto session = face.actors->open_session(face.next_session());
  submit(face, session, std::move(asked), budget,
         [outcome](const v1::Result& result) { outcome->set_value(result); });
  const bool arrived = arrives.wait_for(budget + grace) == std::future_status::ready;
  caf::anon_send(session, close_atom::value);
  return arrived ? arrives.get() : failed(errc::timeout);
}

http::key_request words_of(const httplib::Request& request, std::string body = {}) {
  return {request.method == "HEAD" ? "GET" : request.method, request.target, std::move(body),
          request.get_header_value("If-None-Match"), request.get_header_value("If-Match")};
}

void serve_key(const face_setup& face, const admin_limits& bounds, http::key_request words,
               httplib::Response& response) {
  response.set_header("Cache-Control", "no-cache"); // whoever keeps a copy has to ask again before using it
  auto validators = words;
  validators.body.clear();
  auto asked = http::interpret(face.shape(), std::move(words), bounds.deadline_max);
  if (!asked) return respond(response, std::move(asked.error()));
  const auto what = asked->operation.operation.what_case();
  const auto budget = asked->deadline.value_or(face.deadline);
  respond(response, http::answer_to(validators, what, perform(face, std::move(asked->operation), budget)));
}

/// A request that announces no body has none (RFC 9112 §6.3); httplib would read on until the client gives up.
bool has_body(const httplib::Request& request) {
  return request.has_header("Content-Length") || request.has_header("Transfer-Encoding");
}

/// Takes the body as it is: without this, httplib reads forms into parameters.
void serve_key_with_body(const face_setup& face, const admin_limits& bounds, const httplib::Request& request,
                         httplib::Response& response, const httplib::ContentReader& content) {
  std::string body;
  bool too_large = false;
  const bool complete = !has_body(request) || content([&](const char* bytes, std::size_t size) {
    too_large = size > limits::value_bytes_max - body.size();
    if (!too_large) body.append(bytes, size);
    return !too_large;
  });
  if (too_large || response.status == 413) return respond(response, http::failure(errc::value_too_large));
  if (!complete) return respond(response, http::failure(errc::invalid_argument, "the body could not be read"));
  serve_key(face, bounds, words_of(request, std::move(body)), response);
}

/// What httplib itself refuses has no body yet.
void explain(const httplib::Request& request, httplib::Response& response) {
  if (!response.body.empty() || response.status < 400) return;
  const int status = response.status;
  if (status == 404) {
    respond(response,
            http::failure(errc::invalid_argument, "nothing is at " + request.path
                                                      + "; there are /healthz /readyz /metrics /v1/status and "
                                                        "/v1/keys/TYPE/KEY"));
  } else {
    respond(response, http::failure(status == 413 ? errc::value_too_large : errc::invalid_argument));
  }
  response.status = status;
}

/// A web page that a browser shows must not be able to change keys of a node on its machine.
httplib::Server::HandlerResponse refuse_pages(const httplib::Request& request, httplib::Response& response) {
  if (request.method == "GET" || request.method == "HEAD" || !request.has_header("Origin"))
    return httplib::Server::HandlerResponse::Unhandled;
  respond(response, http::failure(errc::invalid_argument, "a request with an Origin header changes nothing here"));
  response.status = 403;
  response.set_header("Connection", "close"); // its body was not read
  return httplib::Server::HandlerResponse::Handled;
}

} // namespace

admin_http::admin_http(const face_setup& face, const endpoint& at, const admin_limits& bounds)
    : face_(face), bounds_(bounds), address_(at), server_(std::make_unique<httplib::Server>()) {
  server_->new_task_queue = [bounds] { return new request_pool{bounds.threads, bounds.waiting_max}; };
  server_->set_keep_alive_timeout(keep_alive_seconds);
  server_->set_keep_alive_max_count(requests_per_connection);
  server_->set_read_timeout(client_patience_seconds);
  server_->set_write_timeout(client_patience_seconds);
  server_->set_payload_max_length(limits::value_bytes_max);
  server_->set_tcp_nodelay(true);
  server_->set_pre_routing_handler(refuse_pages);
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
  server_->stop();
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
  constexpr const char* pattern = R"(/v1/keys/[\s\S]*)"; // a key is any bytes
  const auto plain = [this](const httplib::Request& request, httplib::Response& response) {
    serve_key(face_, bounds_, words_of(request), response);
  };
  const auto with_body = [this](const httplib::Request& request, httplib::Response& response,
                                const httplib::ContentReader& content) {
    serve_key_with_body(face_, bounds_, request, response, content);
  };
  server_->Get(pattern, plain);
  server_->Delete(pattern, plain);
  server_->Put(pattern, httplib::Server::HandlerWithContentReader{with_body});
  server_->Post(pattern, httplib::Server::HandlerWithContentReader{with_body});
}

} // namespace troupe
