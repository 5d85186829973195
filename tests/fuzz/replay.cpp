// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without a fuzzer: on every file of a corpus, then on changed copies of them, the same ones each
// time, for so many seconds.
// usage: PROGRAM CORPUS SECONDS

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;
using Clock = std::chrono::steady_clock;

std::vector<Input> read_corpus(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  std::ranges::sort(paths);
  std::vector<Input> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

void change_byte(Input* input, std::mt19937_64& random) {
  if (input->empty()) return;
  // Numbers near the ends of their ranges find more than any others.
  constexpr std::uint8_t kEdges[]{0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
  std::uint8_t& byte = (*input)[random() % input->size()];
  byte = random() % 2 == 0 ? kEdges[random() % std::size(kEdges)] : static_cast<std::uint8_t>(random());
}

void move_piece(Input* input, const Input& other, std::mt19937_64& random) {
  if (other.empty()) return;
  const auto from = other.begin() + static_cast<std::ptrdiff_t>(random() % other.size());
  const auto size = static_cast<std::ptrdiff_t>(random() % 64);
  const auto to = input->begin() + static_cast<std::ptrdiff_t>(random() % (input->size() + 1));
  input->insert(to, from, from + std::min(size, other.end() - from));
}

void cut_piece(Input* input, std::mt19937_64& random) {
  if (input->empty()) return;
  const auto from = input->begin() + static_cast<std::ptrdiff_t>(random() % input->size());
  input->erase(from, from + std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(random() % 32), input->end() - from));
}

Input changed(const std::vector<Input>& corpus, std::mt19937_64& random) {
  Input input = corpus[random() % corpus.size()];
  const Input& other = corpus[random() % corpus.size()];
  for (std::uint64_t left = 1 + random() % 8; left > 0; --left) {
    const std::uint64_t kind = random() % 8;
    if (kind == 0) {
      move_piece(&input, other, random);
    } else if (kind == 1) {
      cut_piece(&input, random);
    } else {
      change_byte(&input, random);
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s CORPUS SECONDS\n", argv[0]);
    return 2;
  }
  const std::vector<Input> corpus = read_corpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no files\n", argv[1]);
    return 1;
  }
  for (const Input& input : corpus) LLVMFuzzerTestOneInput(input.data(), input.size());
  std::mt19937_64 random(1);
  std::uint64_t runs = 0;
  for (const auto end = Clock::now() + std::chrono::seconds(std::atoi(argv[2])); Clock::now() < end; ++runs) {
    const Input input = changed(corpus, random);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%zu files and %llu changed copies\n", corpus.size(), static_cast<unsigned long long>(runs));
}
