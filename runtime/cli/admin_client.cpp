#include "runtime/cli/admin_client.hpp"

#include "runtime/cli/commands.hpp"

#include <httplib.h>

#include <charconv>
#include <iostream>

namespace troupe::cli {

namespace {

constexpr std::time_t connect_seconds = 3;

/// "HOST:PORT", "[::1]:PORT". @errors a sentence for CLI11; empty = valid.
std::string split(const std::string& address, std::string& host, int& port) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return "an admin address is HOST:PORT, not " + address;
  host = address.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  const auto digits = std::string_view{address}.substr(colon + 1);
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || stop != digits.data() + digits.size() || port < 1 || port > 65'535)
    return "the port of " + address + " is not a number from 1 to 65535";
  return {};
}

/// The request cannot have reached the node.
bool not_sent(httplib::Error error) {
  return error == httplib::Error::Connection || error == httplib::Error::ConnectionTimeout
         || error == httplib::Error::BindIPAddress;
}

} // namespace

void add_admin_option(CLI::App& command, std::string& address) {
  command.add_option("--admin", address, "Admin address of a node (its configuration's listen.admin)")
      ->type_name("HOST:PORT")
      ->envname("TROUPE_ADMIN")
      ->required()
      ->check([](const std::string& given) {
        std::string host;
        int port = 0;
        return split(given, host, port);
      });
}

tl::expected<admin_answer, admin_failure> ask_admin(const std::string& address, const admin_request& request) {
  std::string host;
  int port = 0;
  if (auto wrong = split(address, host, port); !wrong.empty()) return tl::unexpected{admin_failure{false, wrong}};
  httplib::Client client{host, port};
  client.set_connection_timeout(connect_seconds);
  client.set_read_timeout(request.patience);
  client.set_write_timeout(request.patience);
  httplib::Request wire;
  wire.method = request.method;
  wire.path = request.target;
  wire.body = request.body;
  if (!request.body.empty()) wire.set_header("Content-Type", "application/octet-stream");
  for (const auto& [name, value] : request.headers)
    wire.set_header(name, value);
  client.set_url_encode(false);
  const auto answer = client.send(wire);
  if (!answer)
    return tl::unexpected{admin_failure{!not_sent(answer.error()),
                                        "no answer from " + address + ": " + httplib::to_string(answer.error())}};
  return admin_answer{answer->status, answer->body, answer->get_header_value("Troupe-Token")};
}

tl::expected<admin_object, int> ask_admin_for_object(std::string_view command, const std::string& address,
                                                     const admin_request& request) {
  auto answer = ask_admin(address, request);
  if (!answer) {
    std::cerr << "troupe " << command << ": " << answer.error().what << "\n";
    return tl::unexpected<int>{answer.error().sent && request.method != "GET" ? unknown : not_done};
  }
  auto object = nlohmann::json::parse(answer->body, nullptr, false);
  const bool of_node = object.is_object();
  if (answer->status == 200 && of_node) return admin_object{std::move(object), std::move(answer->body)};
  std::cerr << "troupe " << command << ": "
            << (of_node ? object.value("message", answer->body) : address + " is no admin address of a node")
            << " (HTTP " << answer->status << ")\n";
  return tl::unexpected<int>{of_node && object.value("outcome", "") == "unknown" ? unknown : not_done};
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  constexpr std::string_view hex = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    if (plain.find(c) != std::string_view::npos) {
      result += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    result += {'%', hex[byte / 16], hex[byte % 16]};
  }
  return result;
}

} // namespace troupe::cli
