/// A service that is a CAF actor system itself: CLERK, an actor of its own, sells what the cluster has in stock.
#include <troupe/caf.hpp>

#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <utility>

namespace {

using sell_atom = caf::atom_constant<caf::atom("sell")>;

/// (sell, item, count) -> what CLERK says to the customer.
caf::behavior clerk(caf::event_based_actor* self, const troupe::session_handle& stock) {
  return {
      [self, stock](sell_atom, std::string& item, std::int64_t count) {
        auto reply = self->make_response_promise<std::string>();
        const std::chrono::seconds patience{2};
        self->request(stock, caf::infinite,
                      troupe::calls::add{"inventory", std::move(item), -count, {.floor = 0, .deadline = patience}})
            .then(
                [reply](const troupe::added& now) mutable {
                  reply.deliver((now.applied ? "sold, left " : "not sold, left ") + std::to_string(now.value));
                },
                [reply](const caf::error& why) mutable {
                  const auto error = troupe::error_of(why);
                  reply.deliver((error.unknown() ? "may have been sold: " : "not sold: ") + error.message());
                });
        return reply;
      },
  };
}

int serve(caf::actor_system& system, const char* file) {
  auto rt = troupe::start_in(system, troupe::config::from_file(file));
  if (!rt) {
    std::cerr << rt.error().message() << "\n";
    return 1;
  }
  auto stock = troupe::spawn_session(*rt);
  if (!stock) {
    std::cerr << stock.error().message() << "\n";
    return 1;
  }
  caf::scoped_actor customer{system};
  const auto seller = customer->spawn(clerk, *stock);
  int exit_code = 1;
  customer->request(seller, std::chrono::seconds{10}, sell_atom::value, std::string{"85123A"}, std::int64_t{6})
      .receive(
          [&](const std::string& answer) {
            std::cout << answer << "\n";
            exit_code = answer.starts_with("sold") ? 0 : 1;
          },
          [&](const caf::error& why) { std::cerr << system.render(why) << "\n"; });
  customer->send_exit(seller, caf::exit_reason::user_shutdown);
  return exit_code;
} // the runtime stops here, and the system goes on

} // namespace

int main(int argc, char** argv) {
  caf::actor_system_config settings;
  troupe::configure(settings);
  caf::actor_system system{settings};
  return serve(system, argc > 1 ? argv[1] : "node.toml");
}
