#include "runtime/faces/http_keys.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <optional>
#include <string>

using namespace troupe;
using nlohmann::json;

namespace {

cluster shape() {
  cluster c;
  c.name = "shop";
  c.types["stock"] = {};
  c.types["reviews"] = {.consistency = level::causal};
  c.types["drafts"] = {.consistency = level::eventual, .resolver = resolver_kind::siblings};
  c.types["tags"] = {.consistency = level::eventual, .resolver = resolver_kind::set};
  c.types["cart"] = {.consistency = level::session, .resolver = resolver_kind::map};
  return c;
}

token_seal seal() { return {{{1, std::string(32, 'k')}}, "shop", "eu"}; }

http::key_request request(const std::string& method, const std::string& target, const std::string& body = {}) {
  http::key_request r;
  r.method = method;
  r.target = "/v1/keys/" + target;
  r.body = body;
  return r;
}

http::asked_operation asked(const http::key_request& r) {
  const auto c = shape();
  auto got = http::interpret(c, seal(), r, milliseconds{1'000});
  if (!got) FAIL(got.error().body);
  return *got;
}

int refused(const http::key_request& r) {
  const auto c = shape();
  const auto got = http::interpret(c, seal(), r, milliseconds{1'000});
  return got ? 0 : got.error().status;
}

http::answer answered(const http::key_request& r, const v1::WeakAnswer& whole) {
  return http::answer_to(r, http::kind_of(asked(r)), whole, seal());
}

} // namespace

TEST_CASE("http: a weaker level and a bound of staleness are read from the query") {
  const auto got = asked(request("GET", "reviews/a?level=eventual&max_staleness_ms=250"));
  CHECK(got.operation.at == level::eventual);
  CHECK(got.operation.extra.staleness_us() == 250'000);
  CHECK(got.wants_token);
  CHECK(refused(request("GET", "reviews/a?level=strong")) == 501);
  CHECK(refused(request("GET", "reviews/a?level=most")) == 400);
  CHECK(refused(request("GET", "reviews/a?max_staleness_ms=250")) == 501);
  CHECK(refused(request("GET", "reviews/a?level=eventual&max_staleness_ms=0")) == 400);
  CHECK(refused(request("POST", "reviews/a?add=1")) == 501);
  CHECK(asked(request("GET", "stock/a?level=eventual")).operation.at == level::eventual);
}

TEST_CASE("http: a token is verified before anything is sent, and is answered where it means something") {
  auto r = request("GET", "reviews/a");
  v1::SessionVector seen;
  to_wire(version_vector{{{{1}, 1}, 5}}, *seen.mutable_seen());
  r.token = *seal().seal(seen);
  REQUIRE(asked(r).seen);
  CHECK(from_wire(asked(r).seen->seen()) == version_vector{{{{1}, 1}, 5}});
  r.token = "t1.forged";
  CHECK(refused(r) == 400);
  CHECK_FALSE(asked(request("GET", "stock/a")).wants_token);
  auto strong = request("GET", "stock/a");
  strong.token = "";
  CHECK(asked(strong).wants_token);
  CHECK_FALSE(asked(strong).seen);
}

TEST_CASE("http: elements of sets and fields of maps") {
  auto got = asked(request("PUT", "tags/a?element=x%2Fy"));
  CHECK(got.operation.operation.put_field().field() == "x/y");
  CHECK(got.operation.view == read_view::elements);
  CHECK(asked(request("DELETE", "tags/a?element=x")).operation.operation.remove_field().field() == "x");
  got = asked(request("PUT", "cart/a?field=f", "v"));
  CHECK(got.operation.operation.put_field().value() == "v");
  CHECK(asked(request("GET", "cart/a?field=f")).field == "f");
  CHECK(refused(request("PUT", "cart/a?element=f")) == 501);
  CHECK(refused(request("PUT", "cart/a?element=f&field=g")) == 400);
  CHECK(refused(request("PUT", "cart/a?field=")) == 400);
  CHECK(refused(request("POST", "cart/a?field=f")) == 400);
  CHECK(refused(request("PUT", "cart/a", "whole")) == 501);
  CHECK(refused(request("PUT", "stock/a?field=f", "v")) == 501);
}

TEST_CASE("http: sets and maps are answered as JSON, whatever bytes are in them") {
  v1::WeakAnswer whole;
  whole.add_items()->set_field("x");
  whole.add_items()->set_field("\xff\x01");
  auto body = json::parse(answered(request("GET", "tags/a"), whole).body);
  CHECK(body["elements"] == json::parse(R"(["x", {"hex": "ff01"}])"));
  whole.mutable_items(0)->set_value("1");
  body = json::parse(answered(request("GET", "cart/a"), whole).body);
  CHECK(body["fields"][0] == json::parse(R"({"field": "x", "value": "1"})"));
  CHECK(answered(request("GET", "cart/a?field=x"), whole).body == "1");
  CHECK(answered(request("GET", "cart/a?field=y"), whole).status == 404);
  CHECK(json::parse(answered(request("GET", "tags/a"), {}).body)["elements"] == json::array());
}

TEST_CASE("http: concurrent values come with a context that a write quotes") {
  v1::WeakAnswer whole;
  whole.add_items()->set_value("mine");
  whole.add_items()->set_value("yours");
  const version_vector context{{{{1}, 1}, 3}, {{{2}, 1}, 4}};
  to_wire(context, *whole.mutable_context());
  const auto body = json::parse(answered(request("GET", "drafts/a"), whole).body);
  CHECK(body["values"] == json::parse(R"(["mine", "yours"])"));
  const auto text = body["context"].get<std::string>();
  const auto got = asked(request("PUT", "drafts/a?context=" + text, "both"));
  CHECK(from_wire(got.operation.extra.context()) == context);
  CHECK(refused(request("PUT", "drafts/a?context=c1.forged", "both")) == 400);
  CHECK(refused(request("PUT", "reviews/a?context=" + text, "both")) == 501);
}

TEST_CASE("http: an error of a weaker level says whom everybody waits for") {
  v1::WeakAnswer whole;
  whole.mutable_result()->set_error(static_cast<std::uint32_t>(errc::dependency_timeout));
  whole.set_detail("everybody waits for us-1");
  const auto reply = answered(request("GET", "reviews/a"), whole);
  CHECK(reply.status == 503);
  CHECK(reply.body.find("everybody waits for us-1") != std::string::npos);
}
