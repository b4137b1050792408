@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.compose.runtime.internal

import androidx.compose.runtime.Composable
import androidx.compose.runtime.Composer

interface ComposableLambda : kotlin.jvm.functions.FunctionN<Any?>

@Retention(AnnotationRetention.BINARY)
@Target(AnnotationTarget.CLASS)
annotation class StabilityInferred(val parameters: Int)

@Retention(AnnotationRetention.BINARY)
@Target(AnnotationTarget.FUNCTION, AnnotationTarget.PROPERTY_GETTER)
annotation class FunctionKeyMeta(val key: Int, val startOffset: Int, val endOffset: Int)

fun composableLambda(
    composer: Composer,
    key: Int,
    tracked: Boolean,
    block: Any,
): ComposableLambda = throw NotImplementedError()

fun composableLambdaInstance(key: Int, tracked: Boolean, block: Any): ComposableLambda =
    throw NotImplementedError()

@Composable
fun rememberComposableLambda(key: Int, tracked: Boolean, block: Any): ComposableLambda =
    throw NotImplementedError()
