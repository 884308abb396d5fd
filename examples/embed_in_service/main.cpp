#include <troupe/runtime.hpp>

#include <chrono>
#include <iostream>

int main(int argc, char** argv) {
  auto rt = troupe::runtime::start(troupe::config::from_file(argc > 1 ? argv[1] : "node.toml"));
  if (!rt) {
    std::cerr << rt.error().message() << "\n";
    return 1;
  }
  troupe::session s = rt->open_session();
  auto stock = s.add("inventory", "85123A", -6, {.floor = 0, .deadline = std::chrono::seconds{2}});
  if (!stock)
    std::cout << (stock.error().unknown() ? "may have been sold" : "not sold") << ": " << stock.error().message()
              << "\n";
  else if (!stock->applied)
    std::cout << "only " << stock->value << " left\n";
  else
    std::cout << "sold 6, " << stock->value << " left\n";
  return stock && stock->applied ? 0 : 1;
}
