package dev.edgegen.core.chat

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertTrue

/** Whatever happens, in whichever order: the checks are in [ChatWorld]. */
class ChatPropertiesTest {
    @Test
    fun `no order of events breaks the rules`() {
        var generations = 0
        for (seed in 0 until SEEDS) {
            try {
                val random = Random(seed)
                val world = ChatWorld(random)
                repeat(EVENTS) {
                    if (random.nextInt(60) == 0) {
                        world.dieAndComeBack()
                    } else {
                        val event = world.randomEvent()
                        world.chosen(event)
                        world.happen(event)
                    }
                }
                world.comeToRest()
                generations += world.generations
            } catch (error: AssertionError) {
                throw AssertionError("seed $seed: ${error.message}", error)
            }
        }
        // The worlds were lively, or this would show nothing.
        assertTrue(generations > SEEDS * 5, "only $generations generations")
    }

    private companion object {
        const val SEEDS = 300
        const val EVENTS = 200
    }
}
