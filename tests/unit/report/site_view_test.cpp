// SPDX-License-Identifier: Apache-2.0
#include "report/site_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report_fixture.h"

namespace tracer::report {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Scene;

std::vector<heap::StackId> ids(const Ranking& ranking) {
  std::vector<heap::StackId> out;
  for (const heap::SiteTotals* site : ranking.shown) out.push_back(site->stack_id);
  return out;
}

class SiteViewTest : public ::testing::Test {
 protected:
  std::vector<heap::StackId> shown(const Context& context, Rank rank = Rank::kLive) {
    return ids(SiteView(context).rank(process_, rank));
  }
  Context filtered(const char* include, const char* exclude) {
    Context context = scene_.context();
    if (include != nullptr) context.include.emplace(include);
    if (exclude != nullptr) context.exclude.emplace(exclude);
    return context;
  }

  Scene scene_;
  heap::ProcessSnapshot process_ = Scene::snapshot().processes[0];
};

TEST_F(SiteViewTest, RanksByLiveBytesAndListsFreedStacksOnlyWhenAskedForAll) {
  EXPECT_THAT(shown(scene_.context()), ElementsAre(18, 19, 17, 21));
  EXPECT_THAT(shown(scene_.context(), Rank::kAll), ElementsAre(18, 19, 17, 21, 20));
}

TEST_F(SiteViewTest, RanksLeaksByBytesOfBlocksThatAreOldEnough) {
  const Context context = scene_.context();
  const Ranking ranking = SiteView(context).rank(process_, Rank::kLeaked);
  EXPECT_THAT(ids(ranking), ElementsAre(18, 17, 21));
  EXPECT_EQ(ranking.eligible_objects, 12'000U + 72 + 3);
  EXPECT_EQ(ranking.eligible_bytes, 12'000U * 1504 + 72 * 1000 + 3 * 16);
}

TEST_F(SiteViewTest, ShowsNoMoreThanTopAndCountsTheOthers) {
  const Context context = scene_.context(2);
  const Ranking ranking = SiteView(context).rank(process_, Rank::kLive);
  EXPECT_THAT(ids(ranking), ElementsAre(18, 19));
  EXPECT_EQ(ranking.eligible, 4U);
  EXPECT_EQ(ranking.eligible_bytes, process_.live_bytes);
}

TEST_F(SiteViewTest, ShowsAllWhenTopIsZero) { EXPECT_EQ(shown(scene_.context(0)).size(), 4U); }

TEST_F(SiteViewTest, BreaksTiesByBlocksAndThenById) {
  process_ = testing::process_with({64, 64, 64, 96});
  process_.sites[2].alloc_objects = 4;
  EXPECT_THAT(shown(scene_.context()), ElementsAre(103, 102, 100, 101));
}

TEST_F(SiteViewTest, CountsABlockOfNoBytesAsLive) {
  process_ = testing::process_with({0});
  EXPECT_THAT(shown(scene_.context()), ElementsAre(100));
  EXPECT_THAT(shown(scene_.context(), Rank::kLeaked), ElementsAre(100));
}

TEST_F(SiteViewTest, IncludesByAnyFunctionEvenAnInlinedOne) {
  EXPECT_THAT(shown(filtered("^inner\\(", nullptr)), ElementsAre(17));
  EXPECT_THAT(shown(filtered("^main$", nullptr)), ElementsAre(19, 17));
  EXPECT_THAT(shown(filtered("no such function", nullptr)), IsEmpty());
}

TEST_F(SiteViewTest, IncludesByModulePath) { EXPECT_THAT(shown(filtered("/libshape\\.so", nullptr)), ElementsAre(18)); }

TEST_F(SiteViewTest, ExcludesWhatWouldBeIncludedOtherwise) {
  EXPECT_THAT(shown(filtered(nullptr, "libshape")), ElementsAre(19, 17, 21));
  EXPECT_THAT(shown(filtered("main|cache", "leaky")), ElementsAre(18, 19));
}

TEST_F(SiteViewTest, FillsTheTopWithStacksThatPassTheFilters) {
  Context context = filtered("^main$", nullptr);
  context.top = 1;
  EXPECT_THAT(shown(context), ElementsAre(19));
}

TEST_F(SiteViewTest, KnowsNothingOfAStackThatIsNotResolvedYetAndAsksAgain) {
  const heap::Stack stack = scene_.stack(17);
  scene_.forget_stack(17);
  const Context context = filtered("leaky", nullptr);
  SiteView view(context);
  EXPECT_THAT(ids(view.rank(process_, Rank::kLive)), IsEmpty());
  scene_.add_stack(stack);
  EXPECT_THAT(ids(view.rank(process_, Rank::kLive)), ElementsAre(17));
}

TEST_F(SiteViewTest, LooksUpNoNamesToRankAndEachStackOnceToFilter) {
  std::size_t& questions = testing::fake_names().questions;
  questions = 0;
  shown(scene_.context(0));
  EXPECT_EQ(questions, 0U);
  const Context context = filtered("^main$", nullptr);
  SiteView view(context);
  view.rank(process_, Rank::kAll);
  const std::size_t first = questions;
  EXPECT_GT(first, 0U);
  view.rank(process_, Rank::kAll);
  EXPECT_EQ(questions, first);
}

TEST_F(SiteViewTest, SurvivesANameThatIsTooMuchForTheExpression) {
  const heap::Frame& frame = scene_.stack(17).frames[3];
  testing::fake_names().frames[{frame.module, frame.module_address}][0].function = std::string(3'000'000, 'a');
  EXPECT_THAT(shown(filtered("^(a|b)*[0-9]", nullptr)), IsEmpty());
  EXPECT_THAT(shown(filtered("^(a|b)+", nullptr)), ElementsAre(19, 17));
}

}  // namespace
}  // namespace tracer::report
