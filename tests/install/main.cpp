#include <dnas/kernels/context.hpp>
#include <dnas/kernels/error.hpp>
#include <dnas/kernels/shape.hpp>

#include <iostream>
#include <string>

// Links code that formats messages (fmt) and asks for threads: what the package has to find again.
int main() {
  const std::string shape = dnas::Shape{2, 3, 4, 5}.to_string();
  if (shape != "[2, 3, 4, 5]" || dnas::Context::cpu().threads() < 1) {
    std::cerr << "unexpected shape " << shape << " or thread count\n";
    return 1;
  }
  try {
    (void)dnas::Context::cpu(-1);
  } catch (const dnas::ConfigError& error) {
    std::cout << "consumer: " << shape << ", and as expected: " << error.what() << '\n';
    return 0;
  }
  std::cerr << "a negative thread count was accepted\n";
  return 1;
}
