// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf_host/model.h"

#include <algorithm>

namespace tracer::bpf_host {

void Model::book_alloc(const Block& block) {
  Totals& totals = stacks[block.stack];
  totals.alloc_objects += 1;
  totals.alloc_bytes += block.size;
  totals.birth_ticks += block.tick;
  by_generation_[block.generation].first += 1;
  by_generation_[block.generation].second += block.size;
}

void Model::book_free(const Block& block) {
  Totals& totals = stacks[block.stack];
  totals.free_objects += 1;
  totals.free_bytes += block.size;
  totals.birth_ticks -= block.tick;
  by_generation_[block.generation].first -= 1;
  by_generation_[block.generation].second -= block.size;
}

void Model::change_live(std::uint32_t space, std::int64_t delta) {
  Space& of = spaces[space];
  of.live += static_cast<std::uint64_t>(delta);
  of.peak = std::max(of.peak, of.live);
}

void Model::settle_free(const Block& block) {
  book_free(block);
  change_live(block.stack.space, -static_cast<std::int64_t>(block.size));
}

std::optional<Model::Block> Model::take(const Address& address) {
  const auto found = blocks.find(address);
  if (found == blocks.end()) return std::nullopt;
  const Block block = found->second;
  blocks.erase(found);
  return block;
}

void Model::put_back(const Address& address, const Block& block) {
  const bool is_taken = blocks.contains(address);
  if (!is_taken && blocks.size() < capacity) {
    blocks.emplace(address, block);
    return;
  }
  ++(is_taken ? free_missed : blocks_full);
  settle_free(block);
}

void Model::freed(const Address& address) {
  if (const std::optional<Block> block = take(address))
    settle_free(*block);
  else
    ++spaces[address.first].unknown;
}

void Model::allocated(std::uint64_t address, Block block, const std::optional<Block>& old) {
  std::int64_t delta = 0;
  if (old) {
    block.tick = old->tick;
    block.generation = old->generation;
    book_free(*old);
    delta -= static_cast<std::int64_t>(old->size);
  }
  const Address key{block.stack.space, address};
  if (const std::optional<Block> stale = take(key)) {
    ++free_missed;
    settle_free(*stale);
  }
  if (block.size >= min_size && block.size <= max_size) {
    if (blocks.size() < capacity) {
      blocks.emplace(key, block);
      book_alloc(block);
      delta += static_cast<std::int64_t>(block.size);
    } else {
      ++blocks_full;
    }
  }
  change_live(block.stack.space, delta);
}

std::pair<std::uint64_t, std::uint64_t> Model::young(std::uint32_t generation) const {
  std::pair<std::uint64_t, std::uint64_t> out;
  for (std::uint32_t age = 0; age < TR_YOUNG_WINDOW; ++age) {
    const auto found = by_generation_.find(generation - age);
    if (found == by_generation_.end()) continue;
    out.first += found->second.first;
    out.second += found->second.second;
  }
  return out;
}

Totals Model::totals(std::uint32_t space) const {
  Totals out;
  for (const auto& [key, totals] : stacks)
    if (key.space == space) out += totals;
  return out;
}

}  // namespace tracer::bpf_host
